/* Downloads against mirrors that do everything wrong: what is handed on is right all the same, or
 * the failure says what it was. Each case runs with exchanges that block and with several under
 * way. */
#include "download_caller.h"

#include "base/file.h"

#include <unistd.h>

static void arrives(download_double *d, int requests) {
    covey_error error = {0};
    covey__download *download = double_download(d, NULL);
    if (double_fetch_all(d, download, 0, d->blob_count, &error)) fail_msg("%s", error.message);
    for (int i = 0; i < d->blob_count; i++) assert_int_equal(d->taken[i], 1);
    int asked = 0;
    for (int i = 0; i < DOUBLE_MIRRORS_MAX; i++) asked += d->requests[i];
    if (requests) assert_int_equal(asked, requests);
    covey__download_free(download);
}

static covey_status fails(download_double *d, covey_error *error) {
    memset(error, 0, sizeof *error);
    covey__download *download = double_download(d, NULL);
    covey_status status = double_fetch_all(d, download, 0, d->blob_count, error);
    covey__download_free(download);
    return status;
}

static void test_all_arrive_and_several_fly(void **unused) {
    (void)unused;
    for (int several = 0; several < 2; several++) {
        for (int mirrors = 1; mirrors <= 3; mirrors++) {
            download_double d;
            double_make(&d, several, mirrors, 40, 30000, (uint64_t)(7 + mirrors));
            arrives(&d, 40);
            assert_int_equal(d.most_flying, several ? COVEY__DOWNLOAD_IN_FLIGHT : 0);
            assert_int_equal(d.note_count, 0);
            double_unmake(&d);
        }
    }
}

/* A line that breaks anywhere is gone on with from there. */
static void test_cuts_are_gone_on_with(void **unused) {
    (void)unused;
    for (int several = 0; several < 2; several++) {
        for (int ignore = 0; ignore < 2; ignore++) {
            download_double d;
            double_make(&d, several, 2, 6, 400000, 3);
            for (int i = 0; i < 6; i++)
                double_say(&d, i % 2, (double_act){.cut_after = (uint64_t)(66001 + i * 9001)});
            for (int i = 0; i < 6; i++)
                double_say(&d, i % 2, (double_act){.ignore_range = ignore != 0});
            arrives(&d, 0);
            assert_true(d.ranges > 0);
            uint64_t size = 0;
            for (int i = 0; i < 6; i++) size += d.sizes[i];
            if (!ignore) assert_int_equal(d.bytes, size); /* no byte came twice */
            assert_int_equal(d.note_count, 0);
            double_unmake(&d);
        }
    }
}

/* After a cut the engine is made anew, as in a process that starts again. */
static void test_parts_survive_the_process(void **unused) {
    (void)unused;
    test_folder folder;
    test_folder_make(&folder);
    for (int several = 0; several < 2; several++) {
        download_double d;
        covey_error error = {0};
        double_make(&d, several, 1, 4, 50000, 5);
        for (int i = 0; i < 4; i++)
            double_say(&d, 0, (double_act){.cut_after = (uint64_t)(3000 + 4000 * i)});
        for (int round = 0; round < 5; round++) {
            covey__download *download = double_download(&d, folder.path);
            covey_status status = double_fetch_all(&d, download, 0, 4, &error);
            covey__download_free(download);
            if (!status) break;
            assert_int_equal(status, COVEY_ERROR_NETWORK);
            assert_true(round < 4);
            for (int i = 0; i < 4; i++) d.taken[i] = 0;
        }
        uint64_t size = 0;
        for (int i = 0; i < 4; i++) size += d.sizes[i];
        if (several) assert_int_equal(d.bytes, size);
        assert_true(d.ranges > 0);
        rmdir(test_path(&folder, "none"));
        double_unmake(&d);
    }
    assert_int_equal(rmdir(folder.path), 0); /* nothing is left over */
}

/* A part on the disk that is not of the blob costs its bytes and blames no one. */
static void test_a_damaged_part_is_dropped(void **unused) {
    (void)unused;
    for (int several = 0; several < 2; several++) {
        test_folder folder;
        char name[80] = "partial.";
        download_double d;
        covey_error error = {0};
        test_folder_make(&folder);
        double_make(&d, several, 1, 1, 50000, 6);
        covey__hex(d.digests[0], 32, name + 8);
        test_write(test_path(&folder, name), "these are not its bytes", 23);
        test_write(test_path(&folder, "partial"), "of an older program", 19);
        covey__download *download = double_download(&d, folder.path);
        assert_false(covey__file_exists(test_path(&folder, "partial")));
        if (double_fetch_all(&d, download, 0, 1, &error)) fail_msg("%s", error.message);
        assert_int_equal(d.taken[0], 1);
        assert_int_equal(d.requests[0], 2);
        assert_int_equal(d.note_count, 0);
        assert_int_equal(d.mirrors.list[0].bad_count, 0);
        covey__download_free(download);
        assert_int_equal(rmdir(folder.path), 0);
        double_unmake(&d);
    }
}

static void test_parts_on_the_disk_are_bounded(void **unused) {
    (void)unused;
    test_folder folder;
    download_double d;
    test_folder_make(&folder);
    double_make(&d, true, 1, 1, 1000, 8);
    for (int i = 0; i < 40; i++) {
        char name[80];
        snprintf(name, sizeof name, "partial.%064d", i);
        test_write(test_path(&folder, name), "x", 1);
    }
    covey__download_free(double_download(&d, folder.path));
    int left = 0;
    for (int i = 0; i < 40; i++) {
        char name[80];
        snprintf(name, sizeof name, "partial.%064d", i);
        left += covey__file_exists(test_path(&folder, name));
    }
    assert_int_equal(left, COVEY__DOWNLOAD_PARTIALS_MAX);
    test_folder_remove(&folder);
    double_unmake(&d);
}

/* A bad blob of one mirror is fetched from another, and the mirror is named. */
static void test_bad_bytes_are_named_and_fetched_elsewhere(void **unused) {
    (void)unused;
    for (int several = 0; several < 2; several++) {
        download_double d;
        double_make(&d, several, 2, 8, 20000, 9);
        double_say(&d, 0, (double_act){.spoil_always = true});
        arrives(&d, 0);
        assert_true(d.note_count > 0);
        assert_non_null(strstr(d.notes[0], "http://m0.test/blobs"));
        assert_null(strstr(d.notes[0], "m1"));
        assert_true(d.mirrors.list[0].bad_count > 0);
        assert_int_equal(d.mirrors.list[1].bad_count, 0);
        /* it is asked last from then on */
        assert_true(d.requests[0] <= COVEY__DOWNLOAD_IN_FLIGHT);
        double_unmake(&d);
        /* The only mirror there is gets one more chance, and then it fails. */
        double_make(&d, several, 1, 1, 20000, 9);
        double_say(&d, 0, (double_act){.spoil = true});
        arrives(&d, 2);
        assert_int_equal(d.note_count, 1);
        double_unmake(&d);
        covey_error error;
        double_make(&d, several, 1, 1, 20000, 9);
        double_say(&d, 0, (double_act){.spoil_always = true});
        assert_int_equal(fails(&d, &error), COVEY_ERROR_REMOTE);
        assert_non_null(strstr(error.message, "digest differs"));
        assert_int_equal(d.requests[0], 2);
        assert_int_equal(d.taken[0], 0);
        double_unmake(&d);
    }
}

/* Half of one mirror and half of another, of which one lies: nobody is blamed, and the whole comes
 * from one of them. */
static void test_a_mix_blames_nobody(void **unused) {
    (void)unused;
    for (int several = 0; several < 2; several++) {
        download_double d;
        double_make(&d, several, 2, 1, 20000, 10);
        double_say(&d, 0, (double_act){.spoil = true, .cut_after = 3000});
        arrives(&d, 3);
        assert_int_equal(d.note_count, 0);
        double_unmake(&d);
    }
}

static void test_404_and_410_everywhere(void **unused) {
    (void)unused;
    static const struct {
        int says[3];
        int64_t found;
    } cases[] = {{{404, 404, 404}, 404},
                 {{410, 410, 410}, 410},
                 {{404, 410, 410}, 404},
                 {{404, 500, 410}, 500},
                 {{503, 404, 404}, 503}};
    for (int several = 0; several < 2; several++) {
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            download_double d;
            covey_error error;
            double_make(&d, several, 3, 1, 1000, 11);
            for (int i = 0; i < 3; i++) double_say(&d, i, (double_act){.status = cases[c].says[i]});
            assert_int_equal(fails(&d, &error), COVEY_ERROR_REMOTE);
            assert_int_equal(error.found, cases[c].found);
            for (int i = 0; i < 3; i++) assert_int_equal(d.requests[i], 1); /* each once */
            double_unmake(&d);
            /* One that has it is enough. */
            double_make(&d, several, 3, 1, 1000, 11);
            for (int i = 0; i < 2; i++) double_say(&d, i, (double_act){.status = cases[c].says[i]});
            arrives(&d, 3);
            double_unmake(&d);
        }
    }
}

/* The server's word on when to come back is kept, and told to the caller. */
static void test_retry_after(void **unused) {
    (void)unused;
    for (int several = 0; several < 2; several++) {
        for (int status = 429; status <= 503; status += 503 - 429) {
            download_double d;
            covey_error error = {0};
            double_make(&d, several, 1, 1, 1000, 12);
            double_say(&d, 0, (double_act){.status = status, .retry_after_ms = 90000});
            covey__download *download = double_download(&d, NULL);
            assert_int_equal(double_fetch_all(&d, download, 0, 1, &error), COVEY_ERROR_REMOTE);
            assert_int_equal(error.found, status);
            assert_in_range(covey__download_count(download).retry_after_ms, 80000, 90000);
            assert_int_equal(d.requests[0], 1);
            /* the caller has waited: it is asked again */
            if (double_fetch_all(&d, download, 0, 1, &error)) fail_msg("%s", error.message);
            covey__download_free(download);
            double_unmake(&d);
            /* Another mirror is asked meanwhile, and the one that is busy is left alone. */
            double_make(&d, several, 2, 6, 1000, 12);
            double_say(&d, 0, (double_act){.status = status, .retry_after_ms = 90000});
            download = double_download(&d, NULL);
            if (double_fetch_all(&d, download, 0, 1, &error)) fail_msg("%s", error.message);
            if (double_fetch_all(&d, download, 1, 6, &error)) fail_msg("%s", error.message);
            covey__download_free(download);
            assert_int_equal(d.requests[0], 1);
            double_unmake(&d);
        }
    }
}

/* Heads and bodies that are not what was asked for. */
static void test_wrong_heads_and_bodies(void **unused) {
    (void)unused;
    static const struct {
        double_act act;
        bool ranged; /* it matters to a range alone */
    } cases[] = {{{.shift_range = true}, true}, {{.early_range = true}, true},
                 {{.other_total = true}, true}, {{.long_head = true}, false},
                 {{.ends_after = 100}, false},  {{.endless = true}, false},
                 {{.status = 416}, true},       {{.status = 500}, false},
                 {{.status = 204}, false},      {{.status = 302}, false}};
    for (int several = 0; several < 2; several++) {
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            for (int mirrors = 1; mirrors < 3; mirrors++) {
                download_double d;
                covey_error error = {0};
                double_make(&d, several, mirrors, 1, 200000, 13);
                double_say(&d, 0, (double_act){.cut_after = 70000}); /* then it is a range */
                double_say(&d, 0, cases[c].act);
                double_say(&d, 1, cases[c].act);
                covey__download *download = double_download(&d, NULL);
                covey_status status = COVEY_OK;
                for (int tries = 0; tries < 4 && !d.taken[0]; tries++)
                    status = double_fetch_all(&d, download, 0, 1, &error);
                if (status) fail_msg("case %zu: %s", c, error.message);
                assert_int_equal(d.taken[0], 1);
                assert_int_equal(d.note_count, 0);
                covey__download_free(download);
                double_unmake(&d);
            }
        }
    }
}

static void test_a_stalled_line_is_dropped(void **unused) {
    (void)unused;
    download_double d;
    double_make(&d, true, 2, 6, 30000, 14);
    d.stall_ms = 60;
    double_say(&d, 0, (double_act){.stall = true, .cut_after = 5000});
    double_say(&d, 1, (double_act){.stall = true, .cut_after = 1});
    arrives(&d, 8);
    assert_int_equal(d.cancels, 2);
    assert_int_equal(d.ranges, 2);
    double_unmake(&d);
}

/* In the middle of a stalled exchange a run ends at its deadline; what is under way stays so. */
static void test_the_deadline_holds(void **unused) {
    (void)unused;
    download_double d;
    covey_error error = {0};
    bool done = true;
    double_make(&d, true, 1, 1, 30000, 15);
    double_say(&d, 0, (double_act){.stall = true, .cut_after = 5000});
    d.stall_ms = 20000;
    covey__download *download = double_download(&d, NULL);
    covey__download_item item = double_item(&d, 0);
    assert_int_equal(covey__download_add(download, &item, &error), COVEY_OK);
    int64_t begin_us = covey__monotonic_us();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(covey__download_run(download, covey__monotonic_us() + 20000,
                                             COVEY__DOWNLOAD_ALL, &done, &error),
                         COVEY_OK);
        assert_false(done);
        assert_int_equal(d.cancels, 0); /* it is under way still */
    }
    assert_true(covey__monotonic_us() - begin_us < 10000000); /* long before it counts as stalled */
    covey__download_free(download);
    assert_int_equal(d.cancels, 1);
    double_unmake(&d);
    /* Nothing came for too long: that is a failure, and the only mirror's. */
    double_make(&d, true, 1, 1, 30000, 15);
    double_say(&d, 0, (double_act){.stall = true, .cut_after = 5000});
    d.stall_ms = 60;
    assert_int_equal(fails(&d, &error), COVEY_ERROR_TIMEOUT);
    double_unmake(&d);
}

static void test_stopped_from_elsewhere(void **unused) {
    (void)unused;
    for (int several = 0; several < 2; several++) {
        download_double d;
        covey__stop_flag stop = 1;
        covey_error error = {0};
        bool done;
        double_make(&d, several, 1, 1, 30000, 16);
        covey__download *download = NULL;
        covey__download_options options = {.mirrors = &d.mirrors, .stop = &stop};
        assert_int_equal(covey__download_new(&d.test.env, &options, &download, &error), COVEY_OK);
        covey__download_item item = double_item(&d, 0);
        assert_int_equal(covey__download_add(download, &item, &error), COVEY_OK);
        assert_int_equal(covey__download_run(download, covey__monotonic_us() + 10000000,
                                             COVEY__DOWNLOAD_ALL, &done, &error),
                         COVEY_ERROR_CANCELLED);
        assert_int_equal(d.requests[0], 0);
        covey__download_free(download);
        double_unmake(&d);
    }
}

/* A long blob in order, through cuts, mirrors that ignore ranges, and lies. */
static void test_streams(void **unused) {
    (void)unused;
    for (int several = 0; several < 2; several++) {
        for (int c = 0; c < 5; c++) {
            download_double d;
            covey_error error = {0};
            bool done = false;
            double_make(&d, several, 2, 1, 900000, (uint64_t)(20 + c));
            double_say(&d, 0, (double_act){.cut_after = 100000, .spoil = c == 3});
            double_say(&d, 1, (double_act){.cut_after = 200000, .ignore_range = c == 1});
            double_say(&d, 0, (double_act){.cut_after = 150000, .ignore_range = c == 2});
            double_say(&d, 1, (double_act){.status = c == 4 ? 416 : 0, .cut_after = 70000});
            covey__download *download = double_download(&d, NULL);
            covey__download_item item = double_stream_item(&d, 0, 12345);
            assert_int_equal(covey__download_add(download, &item, &error), COVEY_OK);
            covey_status status = covey__download_run(download, covey__monotonic_us() + 30000000,
                                                      COVEY__DOWNLOAD_ALL, &done, &error);
            if (status) fail_msg("case %d: %s", c, error.message);
            assert_true(done);
            assert_int_equal(d.taken[0], 1);
            assert_int_equal(d.restarts, c == 3);
            assert_memory_equal(d.streamed, d.blobs[0], (size_t)d.sizes[0]);
            covey__download_free(download);
            double_unmake(&d);
        }
    }
}

/* What the caller says of its own ends the run, and nothing is left over. */
static void test_the_callers_failure(void **unused) {
    (void)unused;
    for (int several = 0; several < 2; several++) {
        download_double d;
        covey_error error;
        double_make(&d, several, 1, 4, 30000, 17);
        d.take_says = COVEY_ERROR_NO_SPACE;
        assert_int_equal(fails(&d, &error), COVEY_ERROR_NO_SPACE);
        double_unmake(&d);
    }
}

/* Each allocation refused, and each network action failed: an error or the blobs, and no leak. */
static void test_each_failure(void **unused) {
    (void)unused;
    for (int several = 0; several < 2; several++) {
        test_folder folder;
        int points = 0, allocations = 0;
        for (int at = 1;; at++) {
            download_double d;
            covey_error error = {0};
            bool done = false;
            test_folder_make(&folder);
            double_make(&d, several, 2, 3, 10000, 18);
            double_say(&d, 0, (double_act){.cut_after = 4500});
            d.test.point_fails = at;
            covey__download *download = double_download(&d, folder.path);
            covey_status status = double_fetch_all(&d, download, 0, 3, &error);
            points = (int)d.test.point_calls;
            covey__download_free(download);
            if (status) assert_true(error.message[0]);
            (void)done;
            test_folder_remove(&folder);
            double_unmake(&d);
            if (at > points) break;
        }
        for (int at = 1;; at++) {
            download_double d;
            covey_error error = {0};
            covey__download *download = NULL;
            double_make(&d, several, 2, 3, 10000, 18);
            covey__download_options options = {.mirrors = &d.mirrors, .partial_folder = "/nowhere"};
            d.test.fail_at = d.test.allocations + at;
            int64_t before = d.test.allocations;
            covey_status status = covey__download_new(&d.test.env, &options, &download, &error);
            if (!status) status = double_fetch_all(&d, download, 0, 3, &error);
            covey__download_free(download);
            allocations = (int)(d.test.allocations - before);
            double_unmake(&d);
            if (at > allocations) break;
            if (status) assert_int_equal(status, COVEY_ERROR_NO_MEMORY);
        }
        print_message("%d points failed, %d allocations\n", points, allocations);
        assert_true(points > 15 && allocations > 5);
    }
}

/* Hundreds of blobs from three mirrors that fail at random: all of them arrive, each once. */
static void test_random_failures(void **unused) {
    (void)unused;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        download_double d;
        covey_error error = {0};
        test_folder folder;
        test_folder_make(&folder);
        double_make(&d, seed % 2, 3, 60, 20000, seed);
        static const int statuses[] = {404, 500, 503, 416, 410};
        for (int i = 0; i < 150; i++) {
            double_act act = {0};
            uint64_t kind = test_random(&d.seed) % 12;
            if (kind == 0) act.status = statuses[test_random(&d.seed) % 5];
            if (kind == 1) act.cut_after = 1 + test_random(&d.seed) % 10000;
            if (kind == 2) act.spoil = true;
            if (kind == 3) act.ignore_range = true;
            if (kind == 4) act.ends_after = 1 + test_random(&d.seed) % 10000;
            if (kind == 5) act.endless = true;
            double_say(&d, (int)(test_random(&d.seed) % 3), act);
        }
        covey__download *download = double_download(&d, folder.path);
        int from = 0, tries = 0;
        while (from < 60) {
            assert_true(++tries < 200);
            if (double_fetch_all(&d, download, from, from + 4, &error)) {
                int64_t wait = covey__mirrors_wait_ms(&d.mirrors, covey__monotonic_us());
                assert_true(wait >= 0);
                for (int i = from; i < from + 4; i++) d.taken[i] = 0;
                continue;
            }
            for (int i = from; i < from + 4; i++) assert_int_equal(d.taken[i], 1);
            from += 4;
        }
        covey__download_free(download);
        test_folder_remove(&folder);
        double_unmake(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_arrive_and_several_fly),
        cmocka_unit_test(test_cuts_are_gone_on_with),
        cmocka_unit_test(test_parts_survive_the_process),
        cmocka_unit_test(test_a_damaged_part_is_dropped),
        cmocka_unit_test(test_parts_on_the_disk_are_bounded),
        cmocka_unit_test(test_bad_bytes_are_named_and_fetched_elsewhere),
        cmocka_unit_test(test_a_mix_blames_nobody),
        cmocka_unit_test(test_404_and_410_everywhere),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_wrong_heads_and_bodies),
        cmocka_unit_test(test_a_stalled_line_is_dropped),
        cmocka_unit_test(test_the_deadline_holds),
        cmocka_unit_test(test_stopped_from_elsewhere),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_the_callers_failure),
        cmocka_unit_test(test_each_failure),
        cmocka_unit_test(test_random_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
