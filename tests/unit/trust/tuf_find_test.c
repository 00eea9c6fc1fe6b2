/* Searches through delegations: the order of the walk, what ends it, whose word counts, and bounds.
 */
#include "support/tuf_double.h"

/* A delegation from one role to another; all are signed by key 4. */
typedef struct edge {
    const char *from, *to;
    bool terminating;
    const char *paths; /* members of the array; NULL: "*" */
} edge;

#define EDGES_MAX 12

static void delegations_of(tuf_double *d, const edge *edges, const char *from, covey__buffer *out) {
    const char *comma = "";
    (void)covey__buffer_text(out, "{\"keys\":");
    tuf_double_keys(d, 1u << 4, out);
    (void)covey__buffer_text(out, ",\"roles\":[");
    for (const edge *e = edges; e->from != NULL; e++) {
        if (strcmp(e->from, from) != 0) continue;
        (void)covey__buffer_format(out, "%s{\"name\":\"%s\",\"terminating\":%s,\"paths\":[%s],",
                                   comma, e->to, e->terminating ? "true" : "false",
                                   e->paths != NULL ? e->paths : "\"*\"");
        tuf_double_role_text(1u << 4, 1, out);
        (void)covey__buffer_text(out, "}");
        comma = ",";
    }
    (void)covey__buffer_text(out, "]}");
}

/* Publishes the graph; `lists` names roles and what they say of targets, in pairs up to NULL. */
static void publish_graph(tuf_double *d, const edge *edges, const char *const *lists) {
    static char meta[EDGES_MAX * 80];
    tuf_double_role role = {1u << 4, 1u << 4, 1, 1, d->now_ms + TUF_DAY_MS};
    covey__buffer text;
    covey__buffer_init(&text, d->env, 1u << 20);
    meta[0] = '\0';
    for (const edge *e = edges; e->from != NULL; e++) {
        char member[80];
        snprintf(member, sizeof member, ",\"%s.json\":{\"version\":1}", e->to);
        if (strstr(meta, member) != NULL) continue;
        strcat(meta, member);
        tuf_double_delegated delegated = {e->to, role, NULL, NULL};
        for (const char *const *list = lists; list != NULL && list[0] != NULL; list += 2)
            if (strcmp(list[0], e->to) == 0) delegated.target_list = list[1];
        delegations_of(d, edges, e->to, &text);
        delegated.delegations = text.data;
        tuf_double_delegate(d, &delegated);
        covey__buffer_clear(&text);
    }
    delegations_of(d, edges, "targets", &text);
    d->delegations = text.data;
    d->more_meta = meta;
    tuf_double_publish(d, TUF_ALL);
    d->delegations = NULL;
    covey__buffer_free(&text);
}

static covey_status find(tuf_double *d, const char *name, covey_tuf_target *target,
                         covey_error *error) {
    covey_tuf_target found = COVEY_TUF_TARGET_INIT;
    covey_tuf *tuf = tuf_double_client(d, true);
    assert_int_equal(covey_tuf_refresh(tuf, 0, NULL, NULL), COVEY_OK);
    d->log[0] = '\0';
    covey_status status = covey_tuf_find(tuf, name, &found, error);
    if (target != NULL) {
        *target = found;
        target->name = target->role = NULL; /* the client's */
    }
    covey_tuf_close(tuf);
    return status;
}

/* The graphs of TUF's conformance suite, with the roles in the order in which they are asked. */
static void walks_in_pre_order(void **unused) {
    (void)unused;
    static const struct {
        edge edges[EDGES_MAX];
        const char *visited;
    } graphs[] = {
        {{{"targets", "a", 0, 0}}, "1.a.json "},
        {{{"targets", "a", 0, 0}, {"targets", "b", 0, 0}}, "1.a.json 1.b.json "},
        {{{"targets", "a", 0, 0}, {"targets", "b", 0, 0}, {"b", "c", 0, 0}},
         "1.a.json 1.b.json 1.c.json "},
        {{{"targets", "a", 0, 0}, {"targets", "b", 0, 0}, {"a", "c", 0, 0}, {"a", "d", 0, 0}},
         "1.a.json 1.c.json 1.d.json 1.b.json "},
        {{{"targets", "a", 0, 0}, {"targets", "b", 0, 0}, {"a", "c", 0, 0}, {"c", "d", 0, 0}},
         "1.a.json 1.c.json 1.d.json 1.b.json "},
        {{{"targets", "a", 0, 0}, {"targets", "b", 0, 0}, {"a", "c", true, 0}, {"a", "d", 0, 0}},
         "1.a.json 1.c.json "},
        {{{"targets", "a", 0, 0}, {"targets", "b", 0, 0}, {"a", "c", true, 0}, {"c", "d", 0, 0}},
         "1.a.json 1.c.json 1.d.json "},
        {{{"targets", "a", 0, "\"*.py\""}, {"targets", "b", 0, 0}, {"a", "c", 0, 0}}, "1.b.json "},
        {{{"targets", "a", 0, 0},
          {"targets", "b", 0, 0},
          {"a", "c", 0, "\"*.py\""},
          {"c", "d", 0, 0}},
         "1.a.json 1.b.json "},
        {{{"targets", "a", 0, 0},
          {"targets", "b", 0, 0},
          {"b", "c", 0, 0},
          {"c", "d", 0, 0},
          {"d", "b", 0, 0}},
         "1.a.json 1.b.json 1.c.json 1.d.json "},
        {{{"targets", "a", 0, 0}, {"targets", "b", 0, 0}, {"b", "c", 0, 0}, {"a", "c", 0, 0}},
         "1.a.json 1.c.json 1.b.json "},
        {{{"targets", "a", 0, 0},
          {"targets", "b", 0, 0},
          {"b", "c", 0, 0},
          {"a", "c", 0, "\"*.py\""}},
         "1.a.json 1.b.json 1.c.json "},
    };
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        tuf_double d;
        tuf_double_open(&d);
        publish_graph(&d, graphs[i].edges, NULL);
        assert_int_equal(find(&d, "missingpath", NULL, NULL), COVEY_ERROR_NOT_FOUND);
        assert_string_equal(d.log, graphs[i].visited);
        assert_int_equal(find(&d, "missingpath", NULL, NULL), COVEY_ERROR_NOT_FOUND);
        assert_string_equal(d.log, ""); /* all of it is in the store now */
        tuf_double_close(&d);
    }
}

/* Only what every role of the chain was given counts, and the first that speaks is heard. */
static void who_may_speak(void **unused) {
    (void)unused;
    static const edge edges[] = {{"targets", "a", 0, "\"*.doc\",\"*.md\""},
                                 {"targets", "b", 0, "\"releases/*/*\""},
                                 {"b", "c", 0, "\"releases/x/*\""},
                                 {"b", "d", 0, "\"releases/y/*.zip\""},
                                 {NULL, NULL, 0, 0}};
    tuf_double d;
    covey_tuf_target target;
    tuf_double_open(&d);
    char of_d[3000];
    snprintf(of_d, sizeof of_d, "%s,%s", tuf_double_target(&d, "releases/y/y_v1.zip", "y"),
             tuf_double_target(&d, "releases/z/z_v1.zip", "z release"));
    const char *lists[] = {"a", tuf_double_target(&d, "README.md", "by a"),
                           "c", tuf_double_target(&d, "releases/x/x_v1", "x release"),
                           "d", of_d,
                           NULL};
    d.target_list = tuf_double_target(&d, "file", "top");
    publish_graph(&d, edges, lists);
    assert_int_equal(find(&d, "file", &target, NULL), COVEY_OK);
    assert_string_equal(d.log, "");
    assert_int_equal(target.length, 3);
    assert_int_equal(find(&d, "README.md", &target, NULL), COVEY_OK);
    assert_string_equal(d.log, "1.a.json ");
    assert_int_equal(find(&d, "releases/x/x_v1", &target, NULL), COVEY_OK);
    assert_string_equal(d.log, "1.b.json 1.c.json ");
    assert_int_equal(target.length, 9);
    assert_int_equal(find(&d, "releases/y/y_v1.zip", &target, NULL), COVEY_OK);
    assert_string_equal(d.log, "1.d.json ");
    assert_int_equal(find(&d, "releases/z/z_v1.zip", &target, NULL), COVEY_ERROR_NOT_FOUND);
    assert_string_equal(d.log, "");
    tuf_double_close(&d);
}

/* A role that cannot be had, or does not hold, ends the search: what comes behind is not asked. */
static void a_role_that_does_not_hold(void **unused) {
    (void)unused;
    static const edge edges[] = {
        {"targets", "a", 0, 0}, {"targets", "b", 0, 0}, {NULL, NULL, 0, 0}};
    for (int i = 0; i < 4; i++) {
        tuf_double d;
        covey_error error = {0};
        tuf_double_open(&d);
        const char *lists[] = {"b", tuf_double_target(&d, "file", "by b"), NULL};
        publish_graph(&d, edges, lists);
        tuf_double_delegated a = {"a", {1u << 4, 1u << 4, 1, 1, d.now_ms + TUF_DAY_MS}, "", NULL};
        covey_status expected = COVEY_ERROR_SIGNATURE;
        if (i == 0) a.role.signers = 1u << 5;
        if (i == 1) a.role.expires_ms = d.now_ms - 1000, expected = COVEY_ERROR_EXPIRED;
        tuf_double_delegate(&d, &a);
        if (i == 2) tuf_double_remove(&d, "1.a.json"), expected = COVEY_ERROR_REMOTE;
        if (i == 3) {
            const tuf_double_file *b = tuf_double_find(&d, "1.timestamp.json");
            assert_null(b);
            d.more_meta = ",\"b.json\":{\"version\":1}"; /* the snapshot does not name "a" */
            covey__buffer text;
            covey__buffer_init(&text, d.env, 1u << 16);
            delegations_of(&d, edges, "targets", &text);
            d.delegations = text.data;
            tuf_double_publish(&d, TUF_ALL);
            covey__buffer_free(&text);
            expected = COVEY_ERROR_MISMATCH;
        }
        assert_int_equal(find(&d, "file", NULL, &error), expected);
        assert_non_null(strstr(error.message, "tuf: a: "));
        assert_null(strstr(d.log, "b.json"));
        assert_null(test_read(test_path(&d.folder, "store/a.json"), &(size_t){0}));
        tuf_double_close(&d);
    }
}

/* A delegated role that expired in the store is asked for again only when there is a newer one. */
static void expired_delegated_roles(void **unused) {
    (void)unused;
    static const edge edges[] = {{"targets", "a", 0, 0}, {NULL, NULL, 0, 0}};
    tuf_double d;
    tuf_double_open(&d);
    const char *lists[] = {"a", tuf_double_target(&d, "file", "by a"), NULL};
    publish_graph(&d, edges, lists);
    assert_int_equal(find(&d, "file", NULL, NULL), COVEY_OK);
    d.now_ms += 2 * TUF_DAY_MS;
    assert_int_equal(find(&d, "file", NULL, NULL), COVEY_ERROR_EXPIRED);
    tuf_double_delegated a = {"a", {1u << 4, 1u << 4, 1, 2, d.now_ms + TUF_DAY_MS}, lists[1], NULL};
    tuf_double_delegate(&d, &a);
    d.more_meta = ",\"a.json\":{\"version\":2}";
    tuf_double_bump(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
    assert_int_equal(find(&d, "file", NULL, NULL), COVEY_OK);
    tuf_double_close(&d);
}

static void bounds(void **unused) {
    (void)unused;
    tuf_double d;
    edge edges[EDGES_MAX] = {{NULL, NULL, 0, 0}};
    char names[EDGES_MAX][8];
    tuf_double_open(&d);
    for (int i = 0; i < 10; i++) {
        snprintf(names[i], sizeof names[i], "r%d", i);
        edges[i] = (edge){i == 0 ? "targets" : names[i - 1], names[i], 0, 0};
    }
    publish_graph(&d, edges, NULL);
    covey_error error = {0};
    assert_int_equal(find(&d, "file", NULL, &error), COVEY_ERROR_LIMIT);
    assert_string_equal(d.log, "1.r0.json 1.r1.json 1.r2.json 1.r3.json 1.r4.json 1.r5.json "
                               "1.r6.json 1.r7.json ");
    assert_non_null(strstr(error.message, "at most 8 deep"));
    tuf_double_close(&d);
    tuf_double_open(&d); /* 40 siblings: 32 are asked */
    covey__buffer text;
    covey__buffer_init(&text, d.env, 1u << 20);
    (void)covey__buffer_text(&text, "{\"keys\":");
    tuf_double_keys(&d, 1u << 4, &text);
    (void)covey__buffer_text(&text, ",\"roles\":[");
    char meta[40 * 40] = "";
    for (int i = 0; i < 40; i++) {
        char name[8], member[40];
        snprintf(name, sizeof name, "s%d", i);
        snprintf(member, sizeof member, ",\"%s.json\":{\"version\":1}", name);
        strcat(meta, member);
        (void)covey__buffer_format(&text, "%s{\"name\":\"%s\",\"paths\":[\"*\"],", i > 0 ? "," : "",
                                   name);
        tuf_double_role_text(1u << 4, 1, &text);
        (void)covey__buffer_text(&text, "}");
        tuf_double_delegated s = {
            name, {1u << 4, 1u << 4, 1, 1, d.now_ms + TUF_DAY_MS}, NULL, NULL};
        tuf_double_delegate(&d, &s);
    }
    (void)covey__buffer_text(&text, "]}");
    d.delegations = text.data;
    d.more_meta = meta;
    tuf_double_publish(&d, TUF_ALL);
    assert_int_equal(find(&d, "file", NULL, &error), COVEY_ERROR_LIMIT);
    assert_non_null(strstr(d.log, "1.s31.json "));
    assert_null(strstr(d.log, "1.s32.json "));
    covey__buffer_free(&text);
    tuf_double_close(&d);
}

/* Names that mean something to a URL or a file system are quoted in both. */
static void unusual_role_names(void **unused) {
    (void)unused;
    static const char *const names[][3] = {
        {"?", "1.%3F.json ", "store/%3F.json"},
        {"#", "1.%23.json ", "store/%23.json"},
        {"/role", "1.%2Frole.json ", "store/%2Frole.json"},
        {"../role", "1...%2Frole.json ", "store/%2E.%2Frole.json"},
        {"Role", "1.Role.json ", "store/%52ole.json"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tuf_double d;
        edge edges[] = {{"targets", names[i][0], 0, 0}, {NULL, NULL, 0, 0}};
        tuf_double_open(&d);
        publish_graph(&d, edges, NULL);
        char file[40], quoted[40];
        snprintf(file, sizeof file, "1.%s.json", names[i][0]);
        snprintf(quoted, sizeof quoted, "%.*s", (int)strlen(names[i][1]) - 1, names[i][1]);
        const tuf_double_file *served = tuf_double_find(&d, file);
        tuf_double_put(&d, quoted, served->data, served->size);
        assert_int_equal(find(&d, "nonexistent target", NULL, NULL), COVEY_ERROR_NOT_FOUND);
        assert_string_equal(d.log, names[i][1]);
        char *stored = test_read(test_path(&d.folder, names[i][2]), &(size_t){0});
        assert_non_null(stored);
        free(stored);
        tuf_double_close(&d);
    }
}

static void hashed_bins(void **unused) {
    (void)unused;
    tuf_double d;
    uint8_t digest[32];
    char prefix[3], text[2000];
    covey__buffer keys;
    tuf_double_open(&d);
    covey__sha256_of("file", 4, digest);
    covey__hex(digest, 1, prefix);
    covey__buffer_init(&keys, d.env, 1u << 16);
    tuf_double_keys(&d, 1u << 4, &keys);
    snprintf(text, sizeof text,
             "{\"keys\":%s,\"roles\":[{\"name\":\"other\",\"path_hash_prefixes\":[\"zz\"]}]}",
             keys.data);
    tuf_double_role role = {1u << 4, 1u << 4, 1, 1, d.now_ms + TUF_DAY_MS};
    const char *list = tuf_double_target(&d, "file", "binned");
    tuf_double_delegate(&d, &(tuf_double_delegated){"mine", role, list, NULL});
    snprintf(text, sizeof text,
             "{\"keys\":%s,\"roles\":["
             "{\"name\":\"other\",\"path_hash_prefixes\":[\"%02x\"],\"keyids\":[],\"threshold\":1},"
             "{\"name\":\"mine\",\"path_hash_prefixes\":[\"%s\"],\"keyids\":[\"key-4\"],"
             "\"threshold\":1}]}",
             keys.data, digest[0] ^ 1, prefix);
    d.delegations = text;
    d.more_meta = ",\"mine.json\":{\"version\":1},\"other.json\":{\"version\":1}";
    tuf_double_publish(&d, TUF_ALL);
    assert_int_equal(find(&d, "file", NULL, NULL), COVEY_OK);
    assert_string_equal(d.log, "1.mine.json ");
    /* succinct roles (TAP 15): 8 bins of 3 bits */
    char bin[20], meta[160];
    snprintf(bin, sizeof bin, "bin-%x", digest[0] >> 5);
    snprintf(meta, sizeof meta,
             ",\"mine.json\":{\"version\":1},\"other.json\":{\"version\":1},"
             "\"%s.json\":{\"version\":1}",
             bin);
    snprintf(text, sizeof text,
             "{\"keys\":%s,\"succinct_roles\":{\"keyids\":[\"key-4\"],\"threshold\":1,"
             "\"bit_length\":3,\"name_prefix\":\"bin\"}}",
             keys.data);
    tuf_double_delegate(&d, &(tuf_double_delegated){bin, role, list, NULL});
    d.more_meta = meta;
    tuf_double_bump(&d, TUF_TARGETS | TUF_SNAPSHOT | TUF_TIMESTAMP);
    assert_int_equal(find(&d, "file", NULL, NULL), COVEY_OK);
    snprintf(text, sizeof text, "1.%s.json ", bin);
    assert_string_equal(d.log, text);
    covey__buffer_free(&keys);
    tuf_double_close(&d);
}

/* The floor holds for delegated roles too, until their keys are rotated. */
static void the_floor_of_a_delegated_role(void **unused) {
    (void)unused;
    static const edge edges[] = {{"targets", "a", 0, 0}, {NULL, NULL, 0, 0}};
    tuf_double d;
    test_folder store;
    tuf_double_open(&d);
    const char *lists[] = {"a", tuf_double_target(&d, "file", "by a"), NULL};
    publish_graph(&d, edges, lists);
    tuf_double_delegated a = {"a", {1u << 4, 1u << 4, 1, 7, d.now_ms + TUF_DAY_MS}, lists[1], NULL};
    tuf_double_delegate(&d, &a);
    covey__buffer text;
    covey__buffer_init(&text, d.env, 1u << 16);
    delegations_of(&d, edges, "targets", &text);
    d.delegations = text.data;
    d.more_meta = ",\"a.json\":{\"version\":7}";
    tuf_double_bump(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
    assert_int_equal(find(&d, "file", NULL, NULL), COVEY_OK);
    snprintf(store.path, sizeof store.path, "%s/store", d.folder.path);
    test_folder_remove(&store);
    d.more_meta = ",\"a.json\":{\"version\":1}";
    tuf_double_bump(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
    assert_int_equal(find(&d, "file", NULL, NULL), COVEY_ERROR_ROLLBACK);
    char rotated[2000];
    covey__buffer_clear(&text);
    tuf_double_keys(&d, 1u << 6, &text);
    snprintf(rotated, sizeof rotated,
             "{\"keys\":%s,\"roles\":[{\"name\":\"a\",\"paths\":[\"*\"],\"keyids\":[\"key-6\"],"
             "\"threshold\":1}]}",
             text.data);
    d.delegations = rotated;
    a.role = (tuf_double_role){1u << 6, 1u << 6, 1, 1, d.now_ms + TUF_DAY_MS};
    tuf_double_delegate(&d, &a);
    tuf_double_bump(&d, TUF_TARGETS | TUF_SNAPSHOT | TUF_TIMESTAMP);
    assert_int_equal(find(&d, "file", NULL, NULL), COVEY_OK);
    covey__buffer_free(&text);
    tuf_double_close(&d);
}

static void without_a_hash_that_is_known(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    d.target_list = "\"file\":{\"length\":1,\"hashes\":{\"sha3\":\"00\"}},\"other\":{\"length\":2,"
                    "\"hashes\":{\"sha3\":\"00\",\"sha256\":"
                    "\"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"},"
                    "\"custom\":{\"a\": [1, \"b\"]}}";
    tuf_double_publish(&d, TUF_ALL);
    covey_tuf *tuf = tuf_double_client(&d, false);
    covey_tuf_target target = COVEY_TUF_TARGET_INIT;
    assert_int_equal(covey_tuf_find(tuf, "file", &target, NULL), COVEY_ERROR_UNSUPPORTED);
    assert_int_equal(covey_tuf_find(tuf, "other", &target, NULL), COVEY_OK);
    assert_string_equal(target.custom, "{\"a\":[1,\"b\"]}");
    assert_string_equal(target.role, "targets");
    assert_string_equal(target.name, "other");
    assert_int_equal(covey_tuf_find(tuf, "", &target, NULL), COVEY_ERROR_INVALID_ARGUMENT);
    covey_tuf_close(tuf);
    tuf_double_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_in_pre_order),
        cmocka_unit_test(who_may_speak),
        cmocka_unit_test(a_role_that_does_not_hold),
        cmocka_unit_test(expired_delegated_roles),
        cmocka_unit_test(bounds),
        cmocka_unit_test(unusual_role_names),
        cmocka_unit_test(hashed_bins),
        cmocka_unit_test(the_floor_of_a_delegated_role),
        cmocka_unit_test(without_a_hash_that_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
