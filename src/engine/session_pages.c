/* Pages of keys and values of all sessions of a model. A page is a block of memory of its own, so
 * that one can be given back while others stay. Free pages are chained, the last one freed first,
 * so that memory that was never touched stays so. The invariants are in session_parts.h; here each
 * function that changes a count says which it keeps. */
#include "engine/engine.h"
#include "engine/guide_run.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define IDLE_BYTES_DEFAULT ((uint64_t)64 << 20)
#define HEAD_BYTES         ((sizeof(covey__page) + 63) & ~(size_t)63)

/* ---- Sizes ---- */

static size_t head_bytes(covey__kv_type kv, int32_t head_dim) {
    return covey__page_k_bytes(kv, head_dim) + covey__page_v_bytes(kv, head_dim);
}

bool covey__kv_page_bytes(const covey_model *model, covey__kv_type kv, uint64_t *bytes) {
    const covey__hyper *hyper = &model->hyper;
    /* An encoder's keys and values are done with when their layer is. */
    uint64_t layers = model->architecture->is_encoder ? 1 : (uint64_t)hyper->layer_count;
    return covey__mul_u64(layers * (uint64_t)hyper->kv_head_count, head_bytes(kv, hyper->head_dim),
                          bytes) &&
           *bytes <= SIZE_MAX / 2;
}

uint64_t covey__kv_block_bytes(uint64_t page_bytes) {
    return HEAD_BYTES + page_bytes + 63;
}

size_t covey__kv_offset(const covey_model *model, covey__kv_type kv, int32_t layer,
                        int32_t kv_head) {
    const covey__hyper *hyper = &model->hyper;
    if (model->architecture->is_encoder) layer = 0;
    return ((size_t)layer * (size_t)hyper->kv_head_count + (size_t)kv_head) *
           head_bytes(kv, hyper->head_dim);
}

/* ---- One page ---- */

static covey__page *page_new(const covey__env *env, size_t page_bytes) {
    covey__page *page = covey__alloc(env, (size_t)covey__kv_block_bytes(page_bytes));
    if (!page) return NULL;
    memset(page, 0, sizeof *page);
    page->data = (void *)(((uintptr_t)page + HEAD_BYTES + 63) & ~(uintptr_t)63);
    return page;
}

static void push_free(covey__page_pool *pool, covey__page *page) {
    page->older = pool->first_free;
    pool->first_free = page;
    pool->free++;
}

static covey__page *pop_free(covey__page_pool *pool) {
    covey__page *page = pool->first_free;
    if (!page) return NULL;
    pool->first_free = page->older;
    pool->free--;
    page->older = NULL;
    return page;
}

static void idle_add(covey__page_pool *pool, covey_model *model, covey__page *page) {
    page->newer = NULL;
    page->older = pool->newest;
    if (pool->newest) pool->newest->newer = page;
    pool->newest = page;
    if (!pool->oldest) pool->oldest = page;
    page->used = ++model->kv.uses;
    pool->idle++;
    model->kv.idle_bytes += pool->page_bytes;
}

static void idle_remove(covey__page_pool *pool, covey_model *model, covey__page *page) {
    *(page->newer ? &page->newer->older : &pool->newest) = page->older;
    *(page->older ? &page->older->newer : &pool->oldest) = page->newer;
    page->newer = page->older = NULL;
    pool->idle--;
    model->kv.idle_bytes -= pool->page_bytes;
}

/* Gives the least recently used idle page up: it becomes free. */
static void evict(covey__page_pool *pool, covey_model *model) {
    covey__page *page = pool->oldest;
    assert(!page->child && page->references == 1);
    idle_remove(pool, model, page);
    covey__prefix_detach(page);
    page->references = 0;
    push_free(pool, page);
    model->kv.evicted_pages++;
}

static void keep_budget(covey_model *model) {
    covey__kv *kv = &model->kv;
    while (kv->idle_bytes > kv->idle_bytes_max) {
        covey__page_pool *oldest = NULL;
        for (int i = 0; i < COVEY__KV_TYPES; i++) {
            covey__page_pool *pool = &kv->pools[i];
            if (pool->oldest && (!oldest || pool->oldest->used < oldest->oldest->used))
                oldest = pool;
        }
        evict(oldest, model);
    }
}

void covey__page_hold(covey__page_pool *pool, covey_model *model, covey__page *page) {
    if (page->root && page->references == 1) idle_remove(pool, model, page);
    page->references++;
}

void covey__page_release(covey__page_pool *pool, covey_model *model, covey__page *page) {
    page->references--;
    if (page->references == 0) {
        push_free(pool, page);
    } else if (page->root && page->references == 1) {
        idle_add(pool, model, page);
        keep_budget(model);
    }
}

covey__page *covey__page_take(covey__page_pool *pool, covey_model *model) {
    if (!pool->first_free && pool->oldest) evict(pool, model);
    covey__page *page = pop_free(pool);
    if (!page) return NULL;
    page->references = 1;
    return page;
}

void covey__page_copy(const covey__page_pool *pool, covey__page *to, covey__page *from) {
    memcpy(to->data, from->data, pool->page_bytes);
    to->clean = true;
}

void covey__page_set(covey_session *session, int32_t place, covey__page *page) {
    session->held[place] = page;
    session->pages[place] = page->data;
}

/* ---- A session's places ---- */

static covey__page_pool *pool_of(const covey_session *session) {
    return &session->model->kv.pools[session->kv];
}

/* Frees what neither places nor idle pages need. */
static void give_back(covey_model *model, covey__page_pool *pool) {
    while (pool->first_free && pool->total > pool->places + pool->idle) {
        covey__free(model->env, pop_free(pool));
        pool->total--;
    }
}

static bool grow(covey_model *model, covey__page_pool *pool, int64_t wanted) {
    while (pool->total < wanted) {
        covey__page *page = page_new(model->env, pool->page_bytes);
        if (!page) return false;
        push_free(pool, page);
        pool->total++;
    }
    return true;
}

static covey__root *find_root(const covey_session *session, covey__page_pool *pool) {
    uint8_t key[COVEY__KV_KEY_BYTES];
    covey__session_key(session, key);
    covey__root *root = pool->roots;
    while (root && memcmp(root->key, key, sizeof key) != 0) root = root->next;
    if (root) return root;
    root = covey__calloc(session->model->env, 1, sizeof *root);
    if (!root) return NULL;
    memcpy(root->key, key, sizeof key);
    root->next = pool->roots;
    pool->roots = root;
    return root;
}

static void drop_empty_roots(covey_model *model, covey__page_pool *pool) {
    for (covey__root **link = &pool->roots; *link;) {
        covey__root *root = *link;
        if (root->sessions > 0 || root->child) {
            link = &root->next;
            continue;
        }
        *link = root->next;
        covey__free(model->env, root);
    }
}

/* Idle pages stay beside the new places if memory allows, and make room if not. */
covey_status covey__kv_join(covey_session *session, covey_error *error) {
    covey_model *model = session->model;
    covey__page_pool *pool = pool_of(session);
    uint64_t page_bytes = 0;
    if (!covey__kv_page_bytes(model, session->kv, &page_bytes))
        return covey__no_memory(error, "KV pages", SIZE_MAX);
    pthread_mutex_lock(&model->kv.lock);
    session->page_bytes = (size_t)page_bytes;
    pool->page_bytes = (size_t)page_bytes;
    covey__root *root = find_root(session, pool);
    int64_t places = (int64_t)pool->places + session->page_count;
    bool fits = root && places + pool->idle <= INT32_MAX;
    if (fits && !grow(model, pool, places + pool->idle)) {
        bool had_idle = pool->idle > 0;
        while (pool->oldest) evict(pool, model);
        fits = had_idle && grow(model, pool, places);
    }
    if (fits) {
        pool->places = (int32_t)places;
        model->kv.sessions++;
        root->sessions++;
        session->root = root;
    } else {
        give_back(model, pool);
        drop_empty_roots(model, pool);
    }
    pthread_mutex_unlock(&model->kv.lock);
    if (fits) return COVEY_OK;
    return covey__no_memory(error, "KV pages", (size_t)page_bytes * (size_t)session->page_count);
}

static void drop_locked(covey_session *session, int32_t count) {
    while (session->held_count > count)
        covey__page_release(pool_of(session), session->model, session->held[--session->held_count]);
    if (session->published > count) session->published = count;
}

void covey__kv_leave(covey_session *session) {
    if (!session->root) return;
    covey_model *model = session->model;
    covey__page_pool *pool = pool_of(session);
    pthread_mutex_lock(&model->kv.lock);
    drop_locked(session, 0);
    pool->places -= session->page_count;
    model->kv.sessions--;
    session->root->sessions--;
    session->root = NULL;
    drop_empty_roots(model, pool);
    for (int i = 0; i < COVEY__KV_TYPES; i++) /* the budget may have moved others, too */
        give_back(model, &model->kv.pools[i]);
    pthread_mutex_unlock(&model->kv.lock);
}

/* The new root is held first, so that nothing has to be undone. */
covey_status covey__kv_move(covey_session *session, const covey_session *like, covey_error *error) {
    covey_model *model = session->model;
    covey__page_pool *pool = pool_of(session);
    pthread_mutex_lock(&model->kv.lock);
    covey__root *root = find_root(like, pool);
    if (root) root->sessions++;
    pthread_mutex_unlock(&model->kv.lock);
    if (!root) return covey__no_memory(error, "a prefix tree", sizeof *root);
    covey__prefix_publish(session, true);
    pthread_mutex_lock(&model->kv.lock);
    drop_locked(session, 0);
    session->root->sessions--;
    session->root = root;
    drop_empty_roots(model, pool);
    if ((int64_t)pool->places + pool->idle <= INT32_MAX)
        (void)grow(model, pool, (int64_t)pool->places + pool->idle); /* else idle ones make room */
    for (int i = 0; i < COVEY__KV_TYPES; i++) give_back(model, &model->kv.pools[i]);
    pthread_mutex_unlock(&model->kv.lock);
    return COVEY_OK;
}

void covey__pages_drop(covey_session *session, int32_t count) {
    if (session->held_count <= count) return;
    pthread_mutex_lock(&session->model->kv.lock);
    drop_locked(session, count);
    pthread_mutex_unlock(&session->model->kv.lock);
}

/* A page that others hold too is replaced by a copy. With no free and no idle page left, every page
 * is held by exactly one place (invariant 1), so the other reference is the tree's, which gives the
 * page up; nothing follows it there, since that would be idle. */
static void make_own(covey_session *session, int32_t place) {
    covey_model *model = session->model;
    covey__page_pool *pool = pool_of(session);
    covey__page *shared = session->held[place];
    if (shared->references == 1) return;
    covey__page *own = covey__page_take(pool, model);
    if (own) {
        covey__page_copy(pool, own, shared);
        covey__page_release(pool, model, shared);
        covey__page_set(session, place, own);
    } else {
        assert(shared->root && shared->references == 2 && !shared->child);
        covey__prefix_detach(shared);
        shared->references = 1;
    }
    if (session->published > place) session->published = place;
}

static bool all_own(const covey_session *session, int32_t from, int32_t to) {
    if (session->held_count < to) return false;
    for (int32_t i = from; i < to; i++)
        if (session->held[i]->references != 1) return false;
    return true;
}

void covey__pages_prepare(covey_session *session, size_t first, size_t end) {
    int32_t from = (int32_t)(first / COVEY__PAGE_KEYS), to = covey__pages_of(end);
    covey_model *model = session->model;
    covey__page_pool *pool = pool_of(session);
    pthread_mutex_lock(&model->kv.lock);
    if (!all_own(session, from, to)) {
        for (int32_t i = from; i < to && i < session->held_count; i++) make_own(session, i);
        while (session->held_count < to) {
            covey__page *page = covey__page_take(pool, model);
            assert(page); /* invariant 1 */
            covey__page_set(session, session->held_count++, page);
        }
    }
    pthread_mutex_unlock(&model->kv.lock);
    for (int32_t i = from; i < to; i++) {
        if (session->held[i]->clean) continue;
        memset(session->pages[i], 0, session->page_bytes);
        session->held[i]->clean = true;
    }
}

void covey__pages_share(const covey_session *from, covey_session *to, int32_t count) {
    covey_model *model = from->model;
    pthread_mutex_lock(&model->kv.lock);
    for (int32_t i = 0; i < count; i++) {
        covey__page_hold(pool_of(to), model, from->held[i]);
        covey__page_set(to, i, from->held[i]);
    }
    to->held_count = count;
    pthread_mutex_unlock(&model->kv.lock);
}

/* ---- A model's pages ---- */

static void trim(void *user) {
    covey_model *model = user;
    pthread_mutex_lock(&model->kv.lock);
    for (int i = 0; i < COVEY__KV_TYPES; i++) {
        covey__page_pool *pool = &model->kv.pools[i];
        while (pool->oldest) evict(pool, model);
        give_back(model, pool);
        drop_empty_roots(model, pool);
    }
    covey__token_trie_drop(model->token_trie);
    model->token_trie = NULL;
    pthread_mutex_unlock(&model->kv.lock);
}

covey_status covey__kv_open(covey_model *model, int64_t idle_bytes_max, covey_error *error) {
    covey__kv *kv = &model->kv;
    if (idle_bytes_max < -1)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "idle_kv_bytes_max: expected -1 (none), 0 (the default) or a number of "
                           "bytes, found %" PRId64,
                           idle_bytes_max);
    if (pthread_mutex_init(&kv->lock, NULL) != 0)
        return covey__no_memory(error, "a lock", sizeof kv->lock);
    kv->idle_bytes_max = idle_bytes_max > 0 ? (uint64_t)idle_bytes_max : IDLE_BYTES_DEFAULT;
    if (idle_bytes_max < 0) kv->idle_bytes_max = 0;
    atomic_init(&kv->passes, 0);
    atomic_init(&kv->runs, 0);
    kv->trim = (covey__trim_hook){.trim = trim, .user = model};
    covey__runtime_trim_add(model->runtime, &kv->trim);
    return COVEY_OK;
}

void covey__kv_close(covey_model *model) {
    covey__runtime_trim_remove(model->runtime, &model->kv.trim);
    trim(model);
    pthread_mutex_destroy(&model->kv.lock);
}

void covey_model_describe_kv(covey_model *model, covey_kv_info *info) {
    covey__kv *kv = &model->kv;
    covey_kv_info full = COVEY_KV_INFO_INIT;
    full.size = info->size;
    pthread_mutex_lock(&kv->lock);
    for (int i = 0; i < COVEY__KV_TYPES; i++) {
        const covey__page_pool *pool = &kv->pools[i];
        full.bytes += (uint64_t)pool->total * pool->page_bytes;
        full.used_bytes += (uint64_t)(pool->total - pool->free - pool->idle) * pool->page_bytes;
    }
    full.idle_bytes = kv->idle_bytes;
    full.session_count = kv->sessions;
    full.prompt_tokens = kv->prompt_tokens;
    full.reused_tokens = kv->reused_tokens;
    full.evicted_pages = kv->evicted_pages;
    pthread_mutex_unlock(&kv->lock);
    full.pass_count = atomic_load(&kv->passes);
    full.run_count = atomic_load(&kv->runs);
    memcpy(info, &full, info->size < sizeof full ? info->size : sizeof full);
}
