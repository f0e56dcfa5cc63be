/* The engine on its thread: many threads submit and cancel at random while it runs. Every ticket is accepted once,
 * done once and heard of no more; tickets that were not cancelled give exactly the tokens and text that the engine
 * gives when each runs alone; the queue's bound holds; destroying it with work left ends all of it. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "api/api.h"
#include "base/rng.h"
#include "check.h"
#include "engine/engine.h"
#include "serve/engine_service.h"

enum { N_THREADS = 4, N_TICKETS = 10, N_ALL = N_THREADS * N_TICKETS, MOST_TOKENS = 24, MAX_N = 3 };

struct caller {
    struct service_ticket ticket;
    token_id prompt[16];
    token_id tokens[MAX_N][MOST_TOKENS];
    int n_tokens[MAX_N];
    struct strbuf text[MAX_N];
    enum finish_reason finish[MAX_N];
    int n_accepted, n_done, n_flushed, n_outputs;
    bool too_late, was_cancelled, was_refused;
    atomic_int is_done;
};

static void hear_accepted(struct service_ticket *ticket)
{
    struct caller *c = ticket->user;
    c->n_accepted++;
    if (c->n_done || c->n_outputs) c->too_late = true;
}

static void hear_output(struct service_ticket *ticket, const struct engine_output *output)
{
    struct caller *c = ticket->user;
    if (c->n_done || !c->n_accepted || output->user != c) c->too_late = true;
    int i = output->index;
    for (size_t t = 0; t < output->n_tokens && c->n_tokens[i] < MOST_TOKENS; t++)
        c->tokens[i][c->n_tokens[i]++] = output->tokens[t];
    strbuf_append(&c->text[i], output->text);
    if (output->finish) c->finish[i] = output->finish;
    c->n_outputs++;
}

static void hear_flush(struct service_ticket *ticket)
{
    struct caller *c = ticket->user;
    c->n_flushed++;
    if (c->n_done) c->too_late = true;
}

static void hear_done(struct service_ticket *ticket, const struct error *why)
{
    struct caller *c = ticket->user;
    c->n_done++;
    if (why) c->was_refused = true;
    atomic_store(&c->is_done, 1);
}

static const struct service_listener listener = {hear_accepted, hear_output, hear_flush, hear_done};

/* ---- the model, its engine, and requests made from a number ---- */

static struct twllm_model *model;

static struct engine *make_engine(void)
{
    struct engine *engine;
    struct error err = {0};
    struct engine_options options = {.max_model_len = 96,
                                     .max_num_seqs = 8,
                                     .max_num_batched_tokens = 32,
                                     .kv_cache_memory_bytes = 24 << 20,
                                     .threads = 2};
    if (!model) CHECK_INT(twllm_model_open(&model, NULL, NULL, NULL), 0);
    options.eos_ids = model_eos_ids(model, &options.n_eos_ids);
    if (engine_create(&engine, model_llama(model), model_tokenizer(model), &options, &err))
        check_fail(__FILE__, __LINE__, "%s", err.text);
    return engine;
}

static void make_request(struct caller *c, uint64_t number)
{
    struct engine_request *r = &c->ticket.request;
    r->params = sampling_params_default();
    r->n_prompt = 1 + rng_u64(7, number, 0) % 16;
    for (size_t i = 0; i < r->n_prompt; i++)
        c->prompt[i] = (token_id)(rng_u64(8, number, i) % 9000);
    r->prompt = c->prompt;
    r->params.n = (int32_t)(1 + rng_u64(9, number, 0) % MAX_N);
    r->params.max_tokens = (int32_t)(1 + rng_u64(9, number, 1) % MOST_TOKENS);
    r->params.seed = number;
    r->params.has_seed = true;
    r->params.logprobs = number % 3 ? -1 : 2;
    c->ticket.listener = &listener;
    c->ticket.user = c;
}

static void forget(struct caller *c)
{
    for (int i = 0; i < MAX_N; i++) strbuf_deinit(&c->text[i]);
}

struct alone {
    struct caller *c;
};

static void take_alone(void *argument, const struct engine_output *output)
{
    struct caller *c = ((struct alone *)argument)->c;
    for (size_t t = 0; t < output->n_tokens && c->n_tokens[output->index] < MOST_TOKENS; t++)
        c->tokens[output->index][c->n_tokens[output->index]++] = output->tokens[t];
    strbuf_append(&c->text[output->index], output->text);
}

static void check_alone(struct engine *engine, const struct caller *got, uint64_t number)
{
    struct caller want = {0};
    struct alone alone = {&want};
    uint64_t id;
    make_request(&want, number);
    CHECK_INT(engine_submit(engine, &want.ticket.request, &id, NULL), STATUS_OK);
    for (bool more = true; more;)
        CHECK_INT(engine_step(engine, take_alone, &alone, &more, NULL), STATUS_OK);
    for (int i = 0; i < MAX_N; i++) {
        CHECK_BYTES((const char *)got->tokens[i], sizeof(token_id) * got->n_tokens[i],
                    (const char *)want.tokens[i], sizeof(token_id) * want.n_tokens[i]);
        CHECK_BYTES(got->text[i].data, got->text[i].size, want.text[i].data, want.text[i].size);
    }
    forget(&want);
}

/* ---- many threads ---- */

struct client {
    struct engine_service *service;
    struct caller *callers;
    uint64_t number;
    int n_refused;
};

static void *run_client(void *argument)
{
    struct client *client = argument;
    for (int i = 0; i < N_TICKETS; i++) {
        struct caller *c = &client->callers[i];
        make_request(c, client->number + i);
        while (engine_service_submit(client->service, &c->ticket, NULL) != STATUS_OK) {
            client->n_refused++;
            usleep(500);
        }
        uint64_t dice = rng_u64(11, client->number, i);
        if (dice % 3 == 0) { /* at once, or a little later, or when it may be over */
            usleep((useconds_t)(dice / 3 % 4 * 700));
            if (!atomic_load(&c->is_done)) {
                c->was_cancelled = true;
                engine_service_cancel(client->service, &c->ticket);
            }
        }
    }
    return NULL;
}

static void wait_for(struct caller *callers, int n)
{
    for (int i = 0; i < n; i++)
        for (int waited = 0; !atomic_load(&callers[i].is_done); waited++) {
            if (waited > 120000) check_fail(__FILE__, __LINE__, "ticket %d never ended", i);
            usleep(1000);
        }
}

TEST(random_cancels)
{
    struct engine *engine = make_engine();
    struct engine_service *service;
    struct engine_service_options options = {.max_unfinished = 40};
    CHECK_INT(engine_service_create(&service, engine, &options, NULL), STATUS_OK);
    struct caller *callers = calloc(N_ALL, sizeof *callers);
    struct client clients[N_THREADS];
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        clients[i] = (struct client){service, callers + i * N_TICKETS, 1000u * i, 0};
        pthread_create(&threads[i], NULL, run_client, &clients[i]);
    }
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], NULL);
    wait_for(callers, N_ALL);
    struct engine_service_stats stats;
    engine_service_get_stats(service, &stats);
    CHECK_INT(stats.n_unfinished, 0);
    CHECK_INT(stats.n_submitted, N_ALL);
    CHECK_INT(stats.n_finished, N_ALL);
    CHECK_INT(stats.engine.n_running + stats.engine.n_waiting, 0);
    engine_service_destroy(service);
    int n_whole = 0, n_cut = 0;
    for (int i = 0; i < N_ALL; i++) {
        struct caller *c = &callers[i];
        CHECK_INT(c->n_done, 1);
        CHECK(!c->too_late);
        CHECK(c->n_accepted == 1 || (c->was_cancelled && c->was_refused));
        bool whole = !c->was_refused;
        for (int k = 0; k < c->ticket.request.params.n; k++)
            whole = whole && c->finish[k] != FINISH_CANCELLED && c->finish[k] != FINISH_NONE;
        CHECK(whole || c->was_cancelled);
        n_whole += whole;
        n_cut += !whole;
        if (whole) check_alone(engine, c, 1000u * (i / N_TICKETS) + i % N_TICKETS);
        forget(c);
    }
    CHECK(n_whole > N_ALL / 2);
    CHECK(n_cut > 0);
    free(callers);
    engine_destroy(engine);
}

TEST(destroyed_with_work_left)
{
    struct engine *engine = make_engine();
    struct engine_service *service;
    CHECK_INT(engine_service_create(&service, engine, NULL, NULL), STATUS_OK);
    struct caller callers[20] = {0};
    for (int i = 0; i < 20; i++) {
        make_request(&callers[i], i);
        callers[i].ticket.request.params.max_tokens = 60;
        CHECK_INT(engine_service_submit(service, &callers[i].ticket, NULL), STATUS_OK);
    }
    usleep(3000);
    engine_service_destroy(service);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(callers[i].n_done, 1);
        CHECK(!callers[i].too_late);
        forget(&callers[i]);
    }
    engine_destroy(engine);
}

/* ---- how soon a cancel is felt ---- */

enum { N_LEAVING = 8 };

struct leaving {
    struct engine_service *service;
    struct caller *callers;
    int n_steps, n_left;
    int64_t n_running_before[N_LEAVING], n_running_after[N_LEAVING], blocks_after;
};

/* After the steps in which all have come to run, one leaves after each step. */
static void leave_one(void *user, int64_t duration_us, const struct engine_stats *stats)
{
    struct leaving *l = user;
    (void)duration_us;
    if (l->n_left > 0) l->n_running_after[l->n_left - 1] = stats->n_running;
    l->blocks_after = stats->kv_blocks_used;
    if (++l->n_steps < 16 || l->n_left == N_LEAVING) return;
    l->n_running_before[l->n_left] = stats->n_running;
    engine_service_cancel(l->service, &l->callers[l->n_left].ticket);
    l->n_left++;
}

TEST(a_cancelled_sequence_is_free_after_the_next_step)
{
    struct engine *engine = make_engine();
    struct caller callers[N_LEAVING] = {0};
    struct leaving l = {.callers = callers};
    struct engine_service_options options = {.on_step = leave_one, .user = &l};
    struct engine_service *service;
    CHECK_INT(engine_service_create(&service, engine, &options, NULL), STATUS_OK);
    l.service = service; /* nothing steps before the first ticket */
    for (int i = 0; i < N_LEAVING; i++) {
        make_request(&callers[i], (uint64_t)i);
        callers[i].ticket.request.params.n = 1;
        callers[i].ticket.request.params.max_tokens = 70;
        callers[i].ticket.request.params.ignore_eos = true;
        CHECK_INT(engine_service_submit(service, &callers[i].ticket, NULL), STATUS_OK);
    }
    wait_for(callers, N_LEAVING);
    engine_service_destroy(service);
    for (int i = 0; i < N_LEAVING; i++) {
        CHECK_INT(l.n_running_before[i], N_LEAVING - i);
        CHECK_INT(l.n_running_after[i], N_LEAVING - i - 1);
        CHECK_INT(callers[i].finish[0], FINISH_CANCELLED);
        CHECK(callers[i].n_tokens[0] > 0);
        forget(&callers[i]);
    }
    CHECK_INT(l.blocks_after, 0);
    engine_destroy(engine);
}

TEST(refusals)
{
    struct engine *engine = make_engine();
    struct engine_service *service;
    struct engine_service_options options = {.max_unfinished = 4};
    CHECK_INT(engine_service_create(&service, engine, &options, NULL), STATUS_OK);
    struct caller many = {0}, bad = {0}, late = {0};
    struct error err = {0};
    make_request(&many, 1);
    many.ticket.request.params.n = 5;
    CHECK_INT(engine_service_submit(service, &many.ticket, &err), STATUS_LIMIT);
    CHECK(strstr(err.text, "at most 4"));
    CHECK(engine_service_retry_after(service) >= 1);
    make_request(&bad, 2); /* what the engine refuses is told by on_done */
    bad.ticket.request.n_prompt = 0;
    CHECK_INT(engine_service_submit(service, &bad.ticket, NULL), STATUS_OK);
    wait_for(&bad, 1);
    CHECK(bad.was_refused);
    CHECK_INT(bad.n_accepted, 0);
    engine_service_cancel(service, &bad.ticket); /* too late: nothing happens */
    engine_service_drain(service);
    make_request(&late, 3);
    CHECK_INT(engine_service_submit(service, &late.ticket, NULL), STATUS_CANCELLED);
    engine_service_destroy(service);
    engine_destroy(engine);
}
