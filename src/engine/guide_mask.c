/* Masks of tokens, and what a generation asks of its guide. A mask is one walk of the vocabulary's
 * trie through the machine: what the automaton refuses is skipped with all that begins with it, and
 * a subtree of plain characters is taken whole where the automaton surely takes them. Masks are
 * kept by set, the least recently used leaves. When the machine is full in the middle of a walk, it
 * collects, keeping the walk's own path. Nothing here allocates. */
#include "engine/guide_run.h"

#include <string.h>

static uint32_t *mask_at(covey__guide_run *run, uint32_t slot) {
    return run->masks + (size_t)slot * run->trie->words;
}

/* ---- Steps that survive a collection ---- */

static void moved(void *user, uint32_t from, uint32_t to) {
    covey__guide_run *run = user;
    uint32_t slot = run->machine->sets[from].mask;
    if (slot == COVEY__GUIDE_NONE) return;
    if (to == COVEY__GUIDE_NONE) run->mask_used[slot] = 0;
    run->mask_sets[slot] = to;
}

/* Behind `byte` from the last of path[0 .. count): all of the path stays valid, and there is room
 * for one more. NONE: exhausted. */
static inline uint32_t step_path(covey__guide_run *run, uint32_t *path, size_t count,
                                 uint8_t byte) {
    covey__guide_machine *m = run->machine;
    uint32_t next = covey__guide_step(m, path[count - 1], byte);
    if (next != COVEY__GUIDE_NONE) return next;
    path[count] = run->marked;
    if (!covey__guide_collect(m, path, count + 1, moved, run)) return COVEY__GUIDE_NONE;
    run->marked = path[count];
    next = covey__guide_step(m, path[count - 1], byte);
    if (next == COVEY__GUIDE_NONE) m->too_many = true;
    return next;
}

/* Behind some bytes. run->set stays valid; 0 or NONE when it cannot. */
static uint32_t step_bytes(covey__guide_run *run, uint32_t set, const char *bytes, size_t size) {
    uint32_t path[3] = {run->set, set};
    for (size_t i = 0; i < size && path[1] != 0; i++) {
        uint32_t next = step_path(run, path, 2, (uint8_t)bytes[i]);
        run->set = path[0];
        if (next == COVEY__GUIDE_NONE) return next;
        path[1] = next;
    }
    return path[1];
}

/* ---- Masks ---- */

static void set_bits(const covey__token_trie *t, uint32_t *mask, uint32_t first, uint32_t end) {
    for (uint32_t rank = first; rank < end; rank++) {
        uint32_t id = t->ids[rank];
        mask[id / 32] |= 1u << id % 32;
    }
}

/* Whether every one of the bytes, and any `rest` bytes of a character behind it, leads from the end
 * of path[0 .. depth) back to path[home]. */
static bool leads_back(covey__guide_run *run, size_t home, size_t depth, int low, int high,
                       int rest) {
    const uint8_t *classes = run->machine->program->classes;
    for (int byte = low; byte <= high; byte++) {
        if (byte > low && classes[byte] == classes[byte - 1]) continue;
        uint32_t next = step_path(run, run->path, depth, (uint8_t)byte);
        run->path[depth] = next;
        if (next == COVEY__GUIDE_NONE || next == 0) return false;
        if (rest == 0 ? next != run->path[home]
                      : !leads_back(run, home, depth + 1, 0x80, 0xbf, rest - 1))
            return false;
    }
    return true;
}

static bool non_ascii_leads_back(covey__guide_run *run, size_t home) {
    static const struct {
        uint8_t low, high, second_low, second_high, rest;
    } kinds[] = {{0xc2, 0xdf, 0x80, 0xbf, 0}, {0xe0, 0xe0, 0xa0, 0xbf, 1},
                 {0xe1, 0xec, 0x80, 0xbf, 1}, {0xed, 0xed, 0x80, 0x9f, 1},
                 {0xee, 0xef, 0x80, 0xbf, 1}, {0xf0, 0xf0, 0x90, 0xbf, 2},
                 {0xf1, 0xf3, 0x80, 0xbf, 2}, {0xf4, 0xf4, 0x80, 0x8f, 2}};
    const uint8_t *classes = run->machine->program->classes;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int byte = kinds[k].low; byte <= kinds[k].high; byte++) {
            if (byte > kinds[k].low && classes[byte] == classes[byte - 1]) continue;
            uint32_t next = step_path(run, run->path, home + 1, (uint8_t)byte);
            run->path[home + 1] = next;
            if (next == COVEY__GUIDE_NONE || next == 0 ||
                !leads_back(run, home, home + 2, kinds[k].second_low, kinds[k].second_high,
                            kinds[k].rest))
                return false;
        }
    return true;
}

/* The groups of characters that lead from path[home] back to it. */
static uint64_t loops_of(covey__guide_run *run, size_t home) {
    covey__guide_machine *m = run->machine;
    if (m->sets[run->path[home]].loops_known) return m->sets[run->path[home]].loops;
    uint64_t leaves = 0, loops = 0;
    for (int byte = 0; byte < 0x80; byte++) {
        uint32_t next = step_path(run, run->path, home + 1, (uint8_t)byte);
        uint64_t group = UINT64_C(1) << covey__guide_group_of((uint8_t)byte);
        loops |= group;
        if (next != run->path[home]) leaves |= group;
    }
    loops &= ~leaves;
    if (loops && non_ascii_leads_back(run, home))
        loops |= UINT64_C(1) << COVEY__GUIDE_GROUP_NON_ASCII;
    m->sets[run->path[home]].loops = loops;
    m->sets[run->path[home]].loops_known = true;
    return loops;
}

#define SMALL 16 /* nodes of a subtree that is walked without further thought */

/* Whether all of a subtree leads back to where it is entered. Other sets may move. */
static bool stays(covey__guide_run *run, uint32_t at, uint32_t next) {
    const covey__trie_node *node = &run->trie->nodes[at];
    const covey__guide_at *sets = run->machine->sets;
    size_t home = node->depth - 1u;
    if (node->skip - at < SMALL) return false;
    if (next != run->path[home] && (!sets[next].within || sets[run->path[home]].within))
        return false;
    return (node->groups & ~loops_of(run, home)) == 0;
}

/* Walks nodes [at, end); path[0] is the set to begin with. */
static bool walk(covey__guide_run *run, uint32_t *mask, uint32_t at, uint32_t end, bool plain) {
    covey__guide_machine *m = run->machine;
    const covey__token_trie *t = run->trie;
    while (at < end) {
        const covey__trie_node *node = &t->nodes[at];
        uint32_t next = step_path(run, run->path, node->depth, node->byte);
        run->walked++;
        if (next == COVEY__GUIDE_NONE) return false;
        if (next == 0) {
            at = node->skip;
            continue;
        }
        bool whole =
            plain && m->sets[next].run >= node->chars && m->sets[next].within == node->within;
        if (!whole) {
            uint64_t collections = m->collections;
            whole = stays(run, at, next);
            if (m->collections != collections) continue; /* `next` is stale: once more */
        }
        if (whole) {
            set_bits(t, mask, node->first, t->nodes[node->skip].first);
            at = node->skip;
        } else {
            set_bits(t, mask, node->first, t->nodes[at + 1].first);
            run->path[node->depth] = next;
            at++;
        }
    }
    return true;
}

static bool make_mask(covey__guide_run *run, uint32_t *mask) {
    const covey__token_trie *t = run->trie;
    const covey__guide_at *set = &run->machine->sets[run->set];
    size_t bytes = t->words * sizeof *mask;
    run->machine->work = 0;
    run->walked = 0;
    run->path[0] = run->set;
    uint32_t begin = 0;
    if (set->run == COVEY__GUIDE_RUN_MAX && !set->within) {
        memcpy(mask, t->plain, bytes);
        begin = t->plain_nodes;
    } else {
        memset(mask, 0, bytes);
    }
    if (set->accepts)
        for (uint32_t i = 0; i < t->words; i++) mask[i] |= t->ends[i];
    bool made = walk(run, mask, begin, t->plain_nodes, true) &&
                walk(run, mask, t->plain_nodes, t->node_count, false);
    run->set = run->path[0];
    return made;
}

static uint32_t oldest_slot(const covey__guide_run *run) {
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < COVEY__GUIDE_MASKS_MAX; i++)
        if (run->mask_used[i] < run->mask_used[oldest]) oldest = i;
    return oldest;
}

covey_status covey__guide_mask(covey__guide_run *run, const uint32_t **mask, covey_error *error) {
    covey__guide_machine *m = run->machine;
    uint32_t slot = m->sets[run->set].mask;
    run->narrowed = false;
    if (slot == COVEY__GUIDE_NONE) {
        slot = oldest_slot(run);
        uint32_t evicted = run->mask_sets[slot];
        if (evicted != COVEY__GUIDE_NONE) m->sets[evicted].mask = COVEY__GUIDE_NONE;
        run->mask_sets[slot] = COVEY__GUIDE_NONE;
        run->mask_used[slot] = 0;
        if (!make_mask(run, mask_at(run, slot))) return covey__guide_exhausted(m, error);
        m->sets[run->set].mask = slot;
        run->mask_sets[slot] = run->set;
    }
    run->mask_used[slot] = ++run->clock;
    *mask = mask_at(run, slot);
    uint32_t any = 0;
    for (uint32_t i = 0; i < run->trie->words && !any; i++) any = (*mask)[i];
    if (any) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "guide: no token of the vocabulary continues the text as it must go on; the "
                       "vocabulary lacks bytes that the guide wants");
}

const uint32_t *covey__guide_reject(covey__guide_run *run, const uint32_t *mask,
                                    covey_token token) {
    uint32_t *narrow = mask_at(run, COVEY__GUIDE_MASKS_MAX);
    if (!run->narrowed) memcpy(narrow, mask, run->trie->words * sizeof *mask);
    run->narrowed = true;
    narrow[token / 32] &= ~(1u << token % 32);
    uint32_t any = 0;
    for (uint32_t i = 0; i < run->trie->words && !any; i++) any = narrow[i];
    return any ? narrow : NULL;
}

/* ---- Taking tokens ---- */

static size_t bytes_of(const covey__guide_run *run, covey_token token, char bytes[256]) {
    size_t size = covey__tokenizer_bytes_of(run->tokenizer, token, false, bytes, 256);
    return size <= 256 ? size : 0;
}

static bool feed(const covey__guide_run *run, covey__guide_names *names, const char *bytes,
                 size_t size) {
    if (!run->guide->program.unique_names) return true;
    for (size_t i = 0; i < size; i++)
        if (!covey__guide_names_feed(names, (uint8_t)bytes[i])) return false;
    return true;
}

covey_status covey__guide_take(covey__guide_run *run, covey_token token, covey_error *error) {
    char bytes[256];
    size_t size = bytes_of(run, token, bytes);
    run->machine->work = 0;
    uint32_t set = size ? step_bytes(run, run->set, bytes, size) : 0;
    if (set == COVEY__GUIDE_NONE) return covey__guide_exhausted(run->machine, error);
    if (set == 0)
        return covey__fail(error, COVEY_ERROR_INTERNAL, "guide: token %d is not allowed here",
                           (int)token);
    feed(run, &run->names, bytes, size);
    run->set = set;
    return COVEY_OK;
}

void covey__guide_mark(covey__guide_run *run) {
    run->marked = run->set;
    covey__guide_names_copy(&run->marked_names, &run->names);
}

void covey__guide_back(covey__guide_run *run) {
    run->set = run->marked;
    covey__guide_names_copy(&run->names, &run->marked_names);
}

bool covey__guide_accepts(const covey__guide_run *run) {
    return run->machine->sets[run->set].accepts;
}

bool covey__guide_at_end(const covey__guide_run *run) {
    const covey__guide_at *set = &run->machine->sets[run->set];
    return set->accepts && set->count == 0;
}

/* ---- The shortest completion ---- */

/* The byte that the shortest way begins with. */
static uint8_t best_byte(const covey__guide_machine *m, const covey__guide_at *set) {
    const covey__guide_program *p = m->program;
    uint32_t least = UINT32_MAX;
    uint8_t byte = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        uint64_t word = m->configs[set->first + i];
        const covey__guide_edge *best = &p->edges[p->states[word >> 32].best];
        uint32_t cost = p->states[best->target].cost + m->stacks[(uint32_t)word].cost;
        if (best->pushed != COVEY__GUIDE_NONE) cost += p->states[best->pushed].cost;
        if (cost >= least) continue;
        least = cost;
        byte = best->low;
    }
    return byte;
}

/* One byte more of the way; false where there is none. A name that exists already gets longer. */
static bool plan_byte(covey__guide_run *run, uint32_t path[3], uint8_t *byte) {
    static const char others[] = "abcdefghijklmnopqrstuvwxyz";
    bool unique = run->guide->program.unique_names;
    *byte = best_byte(run->machine, &run->machine->sets[path[1]]);
    for (size_t i = 0;; i++) {
        if (unique) covey__guide_names_copy(&run->before, &run->trial);
        uint32_t next = step_path(run, path, 2, *byte);
        run->set = path[0];
        if (next == COVEY__GUIDE_NONE) return false;
        if (next != 0 && (!unique || covey__guide_names_feed(&run->trial, *byte))) {
            path[1] = next;
            return true;
        }
        if (!unique || !others[i]) return false;
        covey__guide_names_copy(&run->trial, &run->before);
        *byte = (uint8_t)others[i];
    }
}

/* Bytes of the shortest completion behind `*set`, at most `most` (a set stays valid by its
 * pointer); SIZE_MAX when there is none. run->trial are the names there. */
static size_t plan_bytes(covey__guide_run *run, uint32_t *set, size_t most) {
    uint32_t path[3] = {run->set, *set};
    size_t size = 0;
    while (size <= most && !run->machine->sets[path[1]].accepts) {
        uint8_t byte = 0;
        if (size == most || !plan_byte(run, path, &byte)) return SIZE_MAX;
        run->bytes[size++] = (char)byte;
    }
    *set = path[1];
    return size;
}

/* The longest tokens first; 0 when they cannot say it. */
static size_t longest_tokens(covey__guide_run *run, const char *bytes, size_t size) {
    size_t count = 0;
    for (size_t at = 0, taken; at < size; at += taken) {
        int32_t token = covey__token_trie_longest(run->trie, bytes + at, size - at, &taken);
        if (token < 0 || count == COVEY__GUIDE_PLAN_MAX) return 0;
        run->tokens[count++] = token;
    }
    return count;
}

/* Tokens of the shortest completion behind `set`, left in run->tokens; SIZE_MAX for none. */
static size_t plan_from(covey__guide_run *run, uint32_t set) {
    size_t size = plan_bytes(run, &set, COVEY__GUIDE_PLAN_MAX);
    if (size == SIZE_MAX) return SIZE_MAX;
    size_t count = longest_tokens(run, run->bytes, size);
    return count == 0 && size > 0 ? SIZE_MAX : count;
}

/* `names` are those behind `set`; they may be run->trial. */
static bool fits(covey__guide_run *run, uint32_t set, const covey__guide_names *names,
                 int32_t room) {
    const covey__guide_at *at = &run->machine->sets[set];
    if (at->accepts || room == INT32_MAX) return true;
    bool unique = run->guide->program.unique_names;
    if (!unique && run->trie->every_byte && at->cost <= (uint32_t)(room < 0 ? 0 : room))
        return true;
    if (unique && names != &run->trial) covey__guide_names_copy(&run->trial, names);
    run->machine->work = 0;
    size_t count = plan_from(run, set);
    return count != SIZE_MAX && count <= (size_t)(room < 0 ? 0 : room);
}

bool covey__guide_fits(covey__guide_run *run, int32_t room) {
    return fits(run, run->set, &run->names, room);
}

size_t covey__guide_plan(covey__guide_run *run, int32_t room, const covey_token **tokens) {
    if (run->guide->program.unique_names) covey__guide_names_copy(&run->trial, &run->names);
    run->machine->work = 0;
    size_t count = plan_from(run, run->set);
    *tokens = run->tokens;
    return count != SIZE_MAX && count <= (size_t)room ? count : 0;
}

covey__guide_answer covey__guide_allows(covey__guide_run *run, covey_token token, int32_t room) {
    char bytes[256];
    bool unique = run->guide->program.unique_names;
    if (!unique && room == INT32_MAX) return COVEY__GUIDE_YES;
    size_t size = bytes_of(run, token, bytes);
    if (unique) {
        covey__guide_names_copy(&run->trial, &run->names);
        if (!feed(run, &run->trial, bytes, size)) return COVEY__GUIDE_NO_NAME;
    }
    if (room == INT32_MAX) return COVEY__GUIDE_YES;
    run->machine->work = 0;
    uint32_t set = step_bytes(run, run->set, bytes, size);
    if (set == 0 || set == COVEY__GUIDE_NONE) return COVEY__GUIDE_NO_NAME;
    return fits(run, set, &run->trial, room) ? COVEY__GUIDE_YES : COVEY__GUIDE_NO_ROOM;
}

/* ---- Forced stretches ---- */

/* Whether some token that may come goes on behind bytes[0 .. size), which lead to `set`. */
static bool may_go_on(covey__guide_run *run, uint32_t set, const char *bytes, size_t size) {
    const covey__token_trie *t = run->trie;
    uint32_t nodes[2];
    covey__token_trie_find(t, bytes, size, nodes);
    for (int part = 0; part < 2; part++) {
        if (nodes[part] == COVEY__GUIDE_NONE) continue;
        uint32_t end = t->nodes[nodes[part]].skip;
        for (uint32_t i = nodes[part] + 1; i < end; i = t->nodes[i].skip)
            if (step_bytes(run, set, (const char *)&t->nodes[i].byte, 1) != 0) return true;
    }
    return false;
}

/* The tokenizer's own tokens of `bytes`: as they are, or behind a line's end where it puts a space
 * before a text. 0 when neither spells them. */
static size_t own_tokens(covey__guide_run *run, const char *bytes, size_t size) {
    char text[COVEY__GUIDE_FORCED_MAX + 1], token_bytes[256];
    text[0] = '\n';
    memcpy(text + 1, bytes, size);
    for (size_t lead = 0; lead < 2; lead++) {
        size_t count = 0, kept = 0, spelt = 0;
        bool begun = lead == 0, right = true;
        if (covey__tokenizer_encode_within(run->scratch, run->tokenizer, text + 1 - lead,
                                           size + lead, run->forced, COVEY__GUIDE_FORCED_MAX + 8,
                                           &count, NULL) != COVEY_OK)
            return 0;
        for (size_t i = 0; i < count && right; i++) {
            size_t token_size = bytes_of(run, run->forced[i], token_bytes);
            if (!begun) {
                begun = token_size == 1 && token_bytes[0] == '\n';
                continue;
            }
            right = token_size > 0 && token_size <= size - spelt &&
                    !memcmp(token_bytes, bytes + spelt, token_size);
            spelt += token_size;
            run->forced[kept++] = run->forced[i];
        }
        if (right && spelt == size) return kept;
    }
    return 0;
}

/* How many of the tokens no other token could take the place of: none that may come begins where
 * one of them does and goes on behind the stretch. */
static size_t settled(covey__guide_run *run, uint32_t set, const char *bytes, size_t size,
                      size_t count) {
    char token_bytes[256];
    size_t at = 0, kept = 0;
    for (; kept < count; kept++) {
        if (may_go_on(run, set, bytes + at, size - at)) break;
        at += bytes_of(run, run->forced[kept], token_bytes);
    }
    return kept;
}

/* Bytes that can only be so, from run->set on; `*set` is behind them. */
static size_t forced_bytes(covey__guide_run *run, char *bytes, uint32_t *set) {
    size_t size = 0;
    *set = run->set;
    while (size < COVEY__GUIDE_FORCED_MAX && run->machine->sets[*set].forced >= 0) {
        char byte = (char)run->machine->sets[*set].forced;
        uint32_t next = step_bytes(run, *set, &byte, 1);
        if (next == COVEY__GUIDE_NONE || next == 0) break;
        bytes[size++] = byte;
        *set = next;
    }
    return size;
}

size_t covey__guide_forced(covey__guide_run *run, int32_t most, int32_t room,
                           const covey_token **tokens) {
    char bytes[COVEY__GUIDE_FORCED_MAX], token_bytes[256];
    covey__guide_machine *m = run->machine;
    uint32_t set;
    *tokens = run->forced;
    if (most <= 0 || m->sets[run->set].forced < 0) return 0;
    m->work = 0;
    size_t size = forced_bytes(run, bytes, &set), taken = 0;
    uint64_t collections = m->collections;
    size_t count = size ? own_tokens(run, bytes, size) : 0;
    if (count > 0 && !(m->sets[set].accepts && m->sets[set].count == 0))
        count = settled(run, set, bytes, size, count);
    if (count > (size_t)most) count = (size_t)most;
    if (count == 0 || m->collections != collections) return 0;
    for (size_t i = 0; i < count; i++) taken += bytes_of(run, run->forced[i], token_bytes);
    covey__guide_names_copy(&run->trial, &run->names);
    if (!feed(run, &run->trial, bytes, taken)) return 0;
    uint32_t behind = step_bytes(run, run->set, bytes, taken);
    if (behind == 0 || behind == COVEY__GUIDE_NONE) return 0;
    int32_t left = room == INT32_MAX ? room : room - (int32_t)count;
    collections = m->collections;
    if (!fits(run, behind, &run->trial, left) || m->collections != collections) return 0;
    feed(run, &run->names, bytes, taken);
    run->set = behind;
    return count;
}
