/* The prefix tree: what the sessions of a model computed, found by tokens. A node is a page, its
 * key the page's tokens. Pages of equal tokens on equal paths are made one, so a path of tokens is
 * one path of pages. Only whole pages enter the tree while a session is open, since nobody writes
 * to those any more; the partly filled last one enters when its session closes. */
#include "engine/engine.h"

#include <assert.h>
#include <string.h>

static covey__page_pool *pool_of(const covey_session *session) {
    return &session->model->kv.pools[session->kv];
}

static covey__page **children(covey__root *root, covey__page *parent) {
    return parent ? &parent->child : &root->child;
}

static int32_t common(const covey_token *a, int32_t a_count, const covey_token *b, size_t b_count) {
    int32_t most = b_count < (size_t)a_count ? (int32_t)b_count : a_count, i = 0;
    while (i < most && a[i] == b[i]) i++;
    return i;
}

/* ---- The tree ---- */

static void attach(covey__root *root, covey__page *parent, covey__page *page,
                   const covey_token *tokens, int32_t token_count) {
    covey__page **first = children(root, parent);
    assert(!page->root);
    page->root = root;
    page->parent = parent;
    page->child = page->before = NULL;
    page->after = *first;
    if (*first) (*first)->before = page;
    *first = page;
    page->token_count = token_count;
    memcpy(page->tokens, tokens, (size_t)token_count * sizeof *tokens);
    page->references++;
}

void covey__prefix_detach(covey__page *page) {
    assert(page->root && !page->child);
    *(page->before ? &page->before->after : children(page->root, page->parent)) = page->after;
    if (page->after) page->after->before = page->before;
    page->root = NULL;
    page->parent = page->before = page->after = NULL;
    page->token_count = 0;
}

/* The child that agrees longest with the tokens. */
static covey__page *best_child(covey__root *root, covey__page *parent, const covey_token *tokens,
                               size_t token_count, int32_t *agreed) {
    covey__page *best = NULL;
    *agreed = 0;
    for (covey__page *page = *children(root, parent); page; page = page->after) {
        int32_t length = common(page->tokens, page->token_count, tokens, token_count);
        if (length > *agreed) {
            best = page;
            *agreed = length;
        }
        if (length == COVEY__PAGE_KEYS) break;
    }
    return best;
}

/* ---- Finding ---- */

/* How far the tree agrees with tokens: whole pages, of which `last` is the last one, and `agreed`
 * tokens of the page `part` after it. */
typedef struct match {
    int32_t whole, agreed;
    covey__page *last, *part;
} match;

static match walk(covey__root *root, const covey_token *tokens, size_t token_count) {
    match m = {0, 0, NULL, NULL};
    for (;;) {
        size_t at = (size_t)m.whole * COVEY__PAGE_KEYS;
        m.part = best_child(root, m.last, tokens + at, token_count - at, &m.agreed);
        if (!m.part || m.agreed < COVEY__PAGE_KEYS) return m;
        m.last = m.part;
        m.whole++;
    }
}

/* A copy of the page that agrees in part; NULL when there is none, or no room for a copy. The page
 * is held meanwhile, or it could be given up to make that room. */
static covey__page *copy_part(covey_session *session, const match *m) {
    covey__page_pool *pool = pool_of(session);
    if (!m->part) return NULL;
    covey__page_hold(pool, session->model, m->part);
    covey__page *copy = covey__page_take(pool, session->model);
    if (copy) covey__page_copy(pool, copy, m->part);
    covey__page_release(pool, session->model, m->part);
    return copy;
}

/* Puts the path's pages into the session's first places. */
static void adopt(covey_session *session, const match *m) {
    covey__page_pool *pool = pool_of(session);
    covey__page *page = m->last;
    for (int32_t place = m->whole - 1; place >= 0; place--, page = page->parent) {
        covey__page *old = place < session->held_count ? session->held[place] : NULL;
        if (old == page) continue;
        covey__page_hold(pool, session->model, page);
        covey__page_set(session, place, page);
        if (old) covey__page_release(pool, session->model, old);
    }
    if (session->held_count < m->whole) session->held_count = m->whole;
}

static void drop_behind(covey_session *session, int32_t count) {
    while (session->held_count > count)
        covey__page_release(pool_of(session), session->model, session->held[--session->held_count]);
}

static void take_over(covey_session *session, size_t token_count) {
    match m = walk(session->root, session->tokens, token_count);
    size_t whole = (size_t)m.whole * COVEY__PAGE_KEYS;
    if (whole + (size_t)m.agreed <= session->ready) return;
    for (covey__page *page = m.last; page; page = page->parent)
        covey__page_hold(pool_of(session), session->model, page); /* until they are adopted */
    covey__page *copy = copy_part(session, &m);
    size_t found = whole + (copy ? (size_t)m.agreed : 0);
    if (found > session->ready) {
        drop_behind(session, m.whole);
        adopt(session, &m);
        if (copy) covey__page_set(session, session->held_count++, copy);
        session->ready = found;
        session->published = m.whole;
    } else if (copy) {
        covey__page_release(pool_of(session), session->model, copy);
    }
    for (covey__page *page = m.last; page; page = page->parent)
        covey__page_release(pool_of(session), session->model, page);
}

void covey__prefix_find(covey_session *session, size_t token_count, bool again) {
    covey_model *model = session->model;
    size_t before = session->ready;
    if (token_count < before + 2) return;
    pthread_mutex_lock(&model->kv.lock);
    if (!session->alone) take_over(session, token_count - 1);
    if (!again) model->kv.prompt_tokens += token_count - before;
    model->kv.reused_tokens += session->ready - before;
    pthread_mutex_unlock(&model->kv.lock);
    session->reused += session->ready - before;
}

/* ---- Publishing ---- */

/* Idle leaves that hold nothing but a beginning of these tokens are of no more use. */
static void drop_shorter(covey_session *session, covey__page *parent, const covey_token *tokens,
                         int32_t token_count) {
    covey__page *next;
    for (covey__page *page = *children(session->root, parent); page; page = next) {
        next = page->after;
        if (page->references > 1 || page->child || page->token_count >= token_count ||
            common(page->tokens, page->token_count, tokens, (size_t)token_count) <
                page->token_count)
            continue;
        covey__page_pool *pool = pool_of(session);
        covey__page_hold(pool, session->model, page); /* not idle any more */
        covey__prefix_detach(page);
        page->references = 1;
        covey__page_release(pool, session->model, page);
    }
}

/* One place's page; false when nothing can follow it in the tree. */
static bool publish_page(covey_session *session, int32_t place, int32_t token_count) {
    covey__page_pool *pool = pool_of(session);
    covey__page *page = session->held[place], *parent = place ? session->held[place - 1] : NULL;
    const covey_token *tokens = session->tokens + (size_t)place * COVEY__PAGE_KEYS;
    if (page->root) return true;
    int32_t agreed = 0;
    covey__page *twin = best_child(session->root, parent, tokens, (size_t)token_count, &agreed);
    if (twin && agreed == token_count) {
        if (token_count < COVEY__PAGE_KEYS) return false;
        covey__page_hold(pool, session->model, twin);
        covey__page_set(session, place, twin);
        covey__page_release(pool, session->model, page);
        return true;
    }
    drop_shorter(session, parent, tokens, token_count);
    attach(session->root, parent, page, tokens, token_count);
    return true;
}

void covey__prefix_publish(covey_session *session, bool closes) {
    int32_t whole = (int32_t)(session->ready / COVEY__PAGE_KEYS);
    int32_t rest = (int32_t)(session->ready % COVEY__PAGE_KEYS);
    if (session->alone) return;
    if (session->published >= whole && !(closes && rest > 0)) return;
    pthread_mutex_lock(&session->model->kv.lock);
    for (; session->published < whole; session->published++)
        publish_page(session, session->published, COVEY__PAGE_KEYS);
    if (closes && rest > 0) publish_page(session, whole, rest);
    pthread_mutex_unlock(&session->model->kv.lock);
}
