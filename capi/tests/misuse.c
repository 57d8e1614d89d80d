/* Wrong arguments, each of which must be a code and a message; and what a failure leaves usable. */
#include <duel.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int rows, wrong;

static void row(int line, const char *what, duel_code code, duel_code expected, const char *words) {
    const char *message = code == DUEL_OK ? "" : duel_message();
    rows++;
    if (code != expected || strstr(message, words) == NULL) {
        wrong++;
        fprintf(stderr, "line %d: %s: code %d \"%s\", expected %d \"%s\"\n", line, what, (int)code, message,
                (int)expected, words);
    }
}

/* The call, the code that it must return, and a word of its message. */
#define IS(call, code, words) row(__LINE__, #call, call, code, words)
#define OK(call) row(__LINE__, #call, call, DUEL_OK, "")
#define THAT(what) row(__LINE__, #what, (what) ? DUEL_OK : DUEL_INTERNAL, DUEL_OK, "")

static duel_trainer *inner;

static int32_t uses_itself(void *user, const duel_stats *stats) {
    duel_code *codes = user;
    uint64_t steps;
    (void)stats;
    codes[0] = duel_trainer_step(inner, NULL);
    codes[1] = duel_trainer_steps(inner, &steps);
    codes[2] = duel_trainer_free(inner);
    return 1;
}

/* A team that runs its workers one after the other, one that runs none, one that calls each twice and others that there are not. */
static void in_turn(void *host, size_t workers, duel_work work, void *job) {
    (void)host;
    for (size_t w = 0; w < workers; w++) {
        work(job, w);
    }
}
static void nobody(void *host, size_t workers, duel_work work, void *job) {
    (void)host, (void)workers, (void)work, (void)job;
}
struct call {
    duel_work work;
    void *job;
    size_t worker;
};
static void *call(void *of) {
    struct call *one = of;
    one->work(one->job, one->worker);
    return NULL;
}
static void too_often(void *host, size_t workers, duel_work work, void *job) {
    pthread_t thread;
    struct call second = {work, job, workers - 1};
    (void)host;
    pthread_create(&thread, NULL, call, &second);
    work(job, 0);
    pthread_join(thread, NULL);
    work(job, 0);
    work(job, 1);
    work(job, 1000000);
}

/* Goes beyond the limits with its first update. */
#define DIVERGES "batch-size=4 validation=0 learning-rate=1e30"
#define SMALL "batch-size=4 validation=0"

int main(int argc, char **argv) {
    static uint8_t pixels[40 * 400], labels[40], image[400];
    static char memory[64 + 64];
    const char *folder = argc > 1 ? argv[1] : ".";
    char text[DUEL_DIGEST_BYTES], before[DUEL_DIGEST_BYTES], file[4096], other[4096];
    float z[100] = {0}, values[2];
    size_t bytes;
    uint64_t steps;
    duel_data *data = NULL, *labelled = NULL, *none = NULL;
    duel_trainer *trainer = NULL, *second = NULL;
    duel_sampler *sampler = NULL;
    duel_stats stats;
    duel_shape shape;
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(i * i);
    }
    for (size_t i = 0; i < sizeof labels; i++) {
        labels[i] = (uint8_t)(i % 3);
    }

    OK(duel_check_version(DUEL_API_VERSION));
    IS(duel_check_version(0), DUEL_ENVIRONMENT, "compiled for 0");
    /* It takes long in an emulator. */
    if (argc < 3) {
        OK(duel_verify());
    }
    THAT(duel_version()[0] != 0 && duel_bits_version() == 1);

    /* Images. */
    IS(duel_data_open(NULL, 0, &none), DUEL_USAGE, "file: is null");
    IS(duel_data_open("", 0, &none), DUEL_USAGE, "empty");
    IS(duel_data_open("/nowhere", 0, &none), DUEL_IO, "/nowhere");
    IS(duel_data_open("/dev/null", 0, &none), DUEL_INPUT, "empty");
    IS(duel_data_copy(NULL, 40, 20, 20, NULL, &none), DUEL_USAGE, "pixels: is null");
    IS(duel_data_copy(pixels, 0, 20, 20, NULL, &none), DUEL_INPUT, "images");
    IS(duel_data_copy(pixels, 40, 0, 20, NULL, &none), DUEL_INPUT, "images");
    IS(duel_data_copy(pixels, 1, 300, 300, NULL, &none), DUEL_INPUT, "images");
    IS(duel_data_copy(pixels, SIZE_MAX, 20, 20, NULL, &none), DUEL_USAGE, "memory");
    IS(duel_data_copy(pixels, UINT32_MAX + (size_t)1, 1, 1, NULL, &none), DUEL_INPUT, "images");
    IS(duel_data_copy(pixels, 40, 20, 20, NULL, NULL), DUEL_USAGE, "data: is null");
    THAT(none == NULL);
    OK(duel_data_copy(pixels, 40, 20, 20, NULL, &data));
    OK(duel_data_copy(pixels, 40, 20, 20, labels, &labelled));
    OK(duel_data_digest(data, text, sizeof text));
    IS(duel_data_digest(data, text, 71), DUEL_USAGE, "bytes");
    IS(duel_data_digest(data, NULL, sizeof text), DUEL_USAGE, "text: is null");
    IS(duel_data_digest(NULL, text, sizeof text), DUEL_USAGE, "data: is null");
    OK(duel_data_free(NULL));

    /* Settings and memory. */
    IS(duel_trainer_memory(NULL, NULL, &bytes), DUEL_USAGE, "data: is null");
    IS(duel_trainer_memory(data, SMALL, NULL), DUEL_USAGE, "bytes: is null");
    OK(duel_trainer_memory(data, SMALL, &bytes));
    IS(duel_trainer_new(NULL, SMALL, NULL, 0, &trainer), DUEL_USAGE, "data: is null");
    IS(duel_trainer_new(data, SMALL, NULL, 0, NULL), DUEL_USAGE, "trainer: is null");
    IS(duel_trainer_new(data, NULL, NULL, 0, &trainer), DUEL_INPUT, "images");
    IS(duel_trainer_new(data, "seed", NULL, 0, &trainer), DUEL_USAGE, "NAME=VALUE");
    IS(duel_trainer_new(data, "speed=9", NULL, 0, &trainer), DUEL_USAGE, "no such setting");
    IS(duel_trainer_new(data, "seed=-1", NULL, 0, &trainer), DUEL_USAGE, "seed: expected");
    IS(duel_trainer_new(data, "beta1=nan", NULL, 0, &trainer), DUEL_USAGE, "beta1: expected");
    IS(duel_trainer_new(data, "preset=huge", NULL, 0, &trainer), DUEL_USAGE, "preset: expected");
    IS(duel_trainer_new(data, "preset=labelled " SMALL, NULL, 0, &trainer), DUEL_INPUT, "label");
    IS(duel_trainer_new(data, "pack=4 batch-size=6 validation=0", NULL, 0, &trainer), DUEL_USAGE, "pack");
    IS(duel_trainer_new(data, "\xFF", NULL, 0, &trainer), DUEL_USAGE, "UTF-8");
    IS(duel_trainer_new(data, SMALL, memory, sizeof memory, &trainer), DUEL_USAGE, "memory");
    IS(duel_trainer_new(data, SMALL, memory + 1, bytes, &trainer), DUEL_USAGE, "multiple of 64");
    THAT(trainer == NULL);
    /* Whatever the caller's memory held. */
    char *own = malloc(bytes + 64);
    if (own == NULL) {
        return 2;
    }
    memset(own, 0x41, bytes + 64);
    OK(duel_trainer_new(data, SMALL, own + (64 - (uintptr_t)own % 64), bytes, &trainer));
    OK(duel_trainer_mean_probabilities(trainer, values));
    THAT(values[0] == 0.5f && values[1] == 0.5f);
    OK(duel_trainer_free(trainer));
    free(own);
    trainer = NULL;
    OK(duel_trainer_new(data, SMALL, NULL, 0, &trainer));

    /* Threads and backends. */
    IS(duel_trainer_set_threads(NULL, 1), DUEL_USAGE, "trainer: is null");
    IS(duel_trainer_set_isa(trainer, NULL), DUEL_USAGE, "isa: is null");
    IS(duel_trainer_set_isa(trainer, "sse9"), DUEL_USAGE, "isa");
    IS(duel_trainer_set_isa(NULL, "wide"), DUEL_USAGE, "trainer: is null");
    OK(duel_trainer_set_isa(trainer, "wide"));
    IS(duel_trainer_set_threads(trainer, SIZE_MAX), DUEL_OK, "");
    OK(duel_trainer_set_threads(trainer, 2));
    duel_team team = {2, NULL, NULL};
    IS(duel_trainer_set_team(trainer, NULL), DUEL_USAGE, "team: is null");
    IS(duel_trainer_set_team(trainer, (duel_team *)(void *)(memory + 1)), DUEL_USAGE, "aligned");
    IS(duel_trainer_set_team(trainer, &team), DUEL_USAGE, "null");
    team.run = in_turn, team.workers = 0;
    IS(duel_trainer_set_team(trainer, &team), DUEL_USAGE, "workers");
    IS(duel_trainer_set_team(NULL, &team), DUEL_USAGE, "");

    /* Steps. */
    IS(duel_trainer_step(NULL, &stats), DUEL_USAGE, "trainer: is null");
    IS(duel_trainer_step(trainer, (duel_stats *)(void *)(memory + 1)), DUEL_USAGE, "aligned");
    OK(duel_trainer_steps(trainer, &steps));
    THAT(steps == 0);
    OK(duel_trainer_step(trainer, &stats));
    OK(duel_trainer_step(trainer, NULL));
    IS(duel_trainer_run(NULL, 1, NULL, NULL), DUEL_USAGE, "trainer: is null");
    IS(duel_trainer_steps(trainer, NULL), DUEL_USAGE, "steps: is null");
    IS(duel_trainer_steps(NULL, &steps), DUEL_USAGE, "trainer: is null");
    IS(duel_trainer_shape(trainer, NULL), DUEL_USAGE, "shape: is null");
    IS(duel_trainer_shape(NULL, &shape), DUEL_USAGE, "trainer: is null");
    IS(duel_trainer_mean_probabilities(trainer, NULL), DUEL_USAGE, "probabilities: is null");
    IS(duel_trainer_mean_probabilities(NULL, values), DUEL_USAGE, "trainer: is null");
    OK(duel_trainer_mean_probabilities(trainer, values));
    OK(duel_trainer_digest(trainer, before, sizeof before));

    /* A team that does not do what it promises, on images that are shared out among two. */
    static uint8_t large[40 * 28 * 28];
    OK(duel_data_copy(large, 40, 28, 28, NULL, &none));
    OK(duel_trainer_new(none, "batch-size=32 validation=0", NULL, 0, &second));
    team.workers = 2;
    OK(duel_trainer_set_team(second, &team));
    IS(duel_trainer_run(second, 3, NULL, NULL), DUEL_ENVIRONMENT, "workers");
    team.run = nobody;
    OK(duel_trainer_set_team(second, &team));
    IS(duel_trainer_run(second, 3, NULL, NULL), DUEL_ENVIRONMENT, "workers");
    IS(duel_trainer_sample(second, 1, 0, -1, large, 2 * 28 * 28), DUEL_ENVIRONMENT, "workers");
    team.run = too_often;
    OK(duel_trainer_set_team(second, &team));
    OK(duel_trainer_run(second, 3, NULL, NULL));
    OK(duel_trainer_steps(second, &steps));
    THAT(steps == 3);
    OK(duel_trainer_free(second));
    OK(duel_data_free(none));

    /* A callback that uses the trainer which calls it. */
    duel_code codes[3] = {DUEL_OK, DUEL_OK, DUEL_OK};
    OK(duel_trainer_steps(trainer, &steps));
    inner = trainer;
    OK(duel_trainer_run(trainer, 5, uses_itself, codes));
    THAT(codes[0] == DUEL_USAGE && codes[1] == DUEL_USAGE && codes[2] == DUEL_USAGE);
    uint64_t after = 0;
    OK(duel_trainer_steps(trainer, &after));
    THAT(after == steps + 1);

    /* Results. */
    IS(duel_trainer_digest(trainer, text, 1), DUEL_USAGE, "bytes");
    IS(duel_trainer_digest(trainer, NULL, sizeof text), DUEL_USAGE, "text: is null");
    IS(duel_trainer_digest(NULL, text, sizeof text), DUEL_USAGE, "trainer: is null");
    IS(duel_trainer_sample(NULL, 1, 0, -1, image, sizeof image), DUEL_USAGE, "trainer: is null");
    IS(duel_trainer_sample(trainer, 1, 0, -1, NULL, sizeof image), DUEL_USAGE, "pixels: is null");
    IS(duel_trainer_sample(trainer, 1, 0, -1, image, 399), DUEL_USAGE, "whole number");
    IS(duel_trainer_sample(trainer, 1, 0, 0, image, sizeof image), DUEL_USAGE, "class");
    IS(duel_trainer_sample(trainer, 1, 0, -2, image, sizeof image), DUEL_USAGE, "class");
    IS(duel_trainer_sample(trainer, 1, 0, -1, image, SIZE_MAX), DUEL_USAGE, "memory");
    OK(duel_trainer_sample(trainer, 1, UINT64_MAX, -1, image, sizeof image));
    OK(duel_trainer_sample(trainer, 1, 0, -1, NULL, 0));
    IS(duel_trainer_generate(trainer, NULL, 100, -1, image, sizeof image), DUEL_USAGE, "z: is null");
    IS(duel_trainer_generate(trainer, z, 99, -1, image, sizeof image), DUEL_USAGE, "z");
    IS(duel_trainer_generate(trainer, z, 100, -1, (uint8_t *)z, sizeof image), DUEL_USAGE, "overlap");
    IS(duel_trainer_generate(trainer, z, 100, -1, (uint8_t *)(z + 100) - 1, sizeof image), DUEL_USAGE, "overlap");
    IS(duel_trainer_generate(trainer, z, 100, -1, image, 0), DUEL_USAGE, "z");
    z[7] = (float)(1e30 * 1e30);
    IS(duel_trainer_generate(trainer, z, 100, -1, image, sizeof image), DUEL_USAGE, "z: expected numbers");
    z[7] = 0;
    OK(duel_trainer_generate(trainer, z, 100, -1, image, sizeof image));
    IS(duel_trainer_tensor(trainer, NULL, values, 1), DUEL_USAGE, "name: is null");
    IS(duel_trainer_tensor(trainer, "weights", values, 1), DUEL_USAGE, "generator.out.weight");
    IS(duel_trainer_tensor(trainer, "discriminator.out.bias", values, 2), DUEL_USAGE, "expected 1");
    IS(duel_trainer_tensor(trainer, "discriminator.out.bias", NULL, 1), DUEL_USAGE, "to: is null");
    IS(duel_trainer_tensor(trainer, "discriminator.out.bias", (float *)(void *)(memory + 1), 1), DUEL_USAGE,
       "aligned");
    IS(duel_trainer_tensor(trainer, "generator.out.bias.average", values, 1), DUEL_USAGE, "average");
    IS(duel_trainer_tensor(NULL, "discriminator.out.bias", values, 1), DUEL_USAGE, "trainer: is null");
    OK(duel_trainer_tensor(trainer, "discriminator.out.bias.adam_v", values, 1));

    IS(duel_trainer_average_digest(trainer, text, sizeof text), DUEL_USAGE, "average: is not kept");
    OK(duel_trainer_new(labelled, "average=0.5 labels=true " SMALL, NULL, 0, &second));
    OK(duel_trainer_average_digest(second, text, sizeof text));
    IS(duel_trainer_average_digest(second, text, 9), DUEL_USAGE, "bytes");
    IS(duel_trainer_average_digest(NULL, text, sizeof text), DUEL_USAGE, "trainer: is null");
    OK(duel_trainer_step(second, NULL));
    OK(duel_trainer_sample(second, 1, 0, 2, image, sizeof image));
    IS(duel_trainer_sample(second, 1, 0, 3, image, sizeof image), DUEL_USAGE, "class");
    OK(duel_trainer_shape(second, &shape));
    THAT(shape.classes == 3 && shape.latent == 100 && shape.height == 20);
    OK(duel_trainer_free(second));

    /* States. */
    IS(duel_trainer_state_bytes(trainer, NULL), DUEL_USAGE, "bytes: is null");
    IS(duel_trainer_state_bytes(NULL, &bytes), DUEL_USAGE, "trainer: is null");
    OK(duel_trainer_state_bytes(trainer, &bytes));
    uint8_t *state = malloc(bytes);
    if (state == NULL) {
        return 2;
    }
    IS(duel_trainer_save_state(trainer, state, bytes - 1), DUEL_USAGE, "bytes");
    IS(duel_trainer_save_state(trainer, NULL, bytes), DUEL_USAGE, "state: is null");
    IS(duel_trainer_save_state(NULL, state, bytes), DUEL_USAGE, "trainer: is null");
    OK(duel_trainer_save_state(trainer, state, bytes));
    IS(duel_trainer_load_state(trainer, state, bytes - 1), DUEL_INPUT, "");
    IS(duel_trainer_load_state(trainer, NULL, bytes), DUEL_USAGE, "state: is null");
    IS(duel_trainer_load_state(NULL, state, bytes), DUEL_USAGE, "trainer: is null");
    memset(state + 8, 0xFF, 4);
    IS(duel_trainer_load_state(trainer, state, bytes), DUEL_INPUT, "");
    OK(duel_trainer_save_state(trainer, state, bytes));
    OK(duel_trainer_load_state(trainer, state, bytes));

    /* Files. */
    snprintf(file, sizeof file, "%s/state.safetensors", folder);
    snprintf(other, sizeof other, "%s/generator.c", folder);
    IS(duel_trainer_save(trainer, NULL), DUEL_USAGE, "file: is null");
    IS(duel_trainer_save(trainer, "/nowhere/state"), DUEL_IO, "/nowhere");
    IS(duel_trainer_save(NULL, file), DUEL_USAGE, "trainer: is null");
    OK(duel_trainer_save(trainer, file));
    IS(duel_trainer_load(trainer, NULL), DUEL_USAGE, "file: is null");
    IS(duel_trainer_load(trainer, "/nowhere/state"), DUEL_IO, "/nowhere");
    IS(duel_trainer_load(trainer, "/dev/null"), DUEL_IO, "regular file");
    IS(duel_trainer_load(NULL, file), DUEL_USAGE, "trainer: is null");
    OK(duel_trainer_load(trainer, file));
    OK(duel_trainer_new(data, SMALL " seed=7", NULL, 0, &second));
    IS(duel_trainer_load(second, file), DUEL_INPUT, "seed");
    OK(duel_trainer_free(second));
    OK(duel_trainer_new(labelled, SMALL, NULL, 0, &second));
    IS(duel_trainer_load(second, file), DUEL_INPUT, "data_digest");
    OK(duel_trainer_free(second));
    IS(duel_trainer_export_c(trainer, NULL, 0), DUEL_USAGE, "file: is null");
    IS(duel_trainer_export_c(NULL, other, 0), DUEL_USAGE, "trainer: is null");
    IS(duel_trainer_export_c(trainer, "/nowhere/g.c", 0), DUEL_IO, "/nowhere");
    OK(duel_trainer_export_c(trainer, other, 0));
    IS(duel_trainer_load(trainer, other), DUEL_INPUT, "safetensors");

    /* Samplers. */
    IS(duel_sampler_open(NULL, 0, &sampler), DUEL_USAGE, "file: is null");
    IS(duel_sampler_open("/nowhere", 0, &sampler), DUEL_IO, "/nowhere");
    IS(duel_sampler_open(other, 0, &sampler), DUEL_INPUT, "safetensors");
    IS(duel_sampler_open(folder, 0, &sampler), DUEL_IO, "checkpoints");
    IS(duel_sampler_open(file, 0, NULL), DUEL_USAGE, "sampler: is null");
    THAT(sampler == NULL);
    OK(duel_sampler_open(file, 0, &sampler));
    static uint8_t same[400];
    OK(duel_trainer_sample(trainer, 5, 9, -1, image, sizeof image));
    OK(duel_sampler_sample(sampler, 5, 9, -1, same, sizeof same));
    THAT(memcmp(image, same, sizeof image) == 0);
    IS(duel_sampler_sample(NULL, 1, 0, -1, image, sizeof image), DUEL_USAGE, "sampler: is null");
    IS(duel_sampler_sample(sampler, 1, 0, -1, image, 1), DUEL_USAGE, "whole number");
    IS(duel_sampler_sample(sampler, 1, 0, 1, image, sizeof image), DUEL_USAGE, "class");
    IS(duel_sampler_generate(sampler, z, 1, -1, image, sizeof image), DUEL_USAGE, "z");
    IS(duel_sampler_generate(NULL, z, 100, -1, image, sizeof image), DUEL_USAGE, "sampler: is null");
    OK(duel_sampler_generate(sampler, z, 100, -1, image, sizeof image));
    IS(duel_sampler_shape(NULL, &shape), DUEL_USAGE, "sampler: is null");
    IS(duel_sampler_shape(sampler, NULL), DUEL_USAGE, "shape: is null");
    OK(duel_sampler_shape(sampler, &shape));
    THAT(shape.latent == 100 && shape.classes == 0 && shape.hidden == 256 && shape.height == 20 && shape.width == 20);
    OK(duel_sampler_free(sampler));
    OK(duel_sampler_free(NULL));
    sampler = NULL;
    shape.hidden = 0;
    IS(duel_sampler_memory(&shape, &bytes), DUEL_USAGE, "hidden");
    IS(duel_sampler_new(&shape, NULL, 0, &sampler), DUEL_USAGE, "hidden");
    shape.hidden = 8, shape.height = SIZE_MAX / 2, shape.width = 3;
    IS(duel_sampler_memory(&shape, &bytes), DUEL_USAGE, "pixels");
    shape.height = 2, shape.latent = 5;
    IS(duel_sampler_memory(NULL, &bytes), DUEL_USAGE, "shape: is null");
    IS(duel_sampler_memory((duel_shape *)(void *)(memory + 1), &bytes), DUEL_USAGE, "aligned");
    IS(duel_sampler_memory(&shape, NULL), DUEL_USAGE, "bytes: is null");
    IS(duel_sampler_new(NULL, NULL, 0, &sampler), DUEL_USAGE, "shape: is null");
    IS(duel_sampler_new(&shape, memory, 1, &sampler), DUEL_USAGE, "memory");
    OK(duel_sampler_new(&shape, NULL, 0, &sampler));
    IS(duel_sampler_set(sampler, "generator.hidden.bias", z, 9), DUEL_INPUT, "number of values");
    IS(duel_sampler_set(sampler, "discriminator.out.bias", z, 1), DUEL_INPUT, "generator");
    IS(duel_sampler_set(sampler, "generator.hidden.bias.adam_m", z, 8), DUEL_USAGE, "parameters");
    IS(duel_sampler_set(sampler, NULL, z, 8), DUEL_USAGE, "name: is null");
    IS(duel_sampler_set(sampler, "generator.hidden.bias", NULL, 8), DUEL_USAGE, "from: is null");
    IS(duel_sampler_set(NULL, "generator.hidden.bias", z, 8), DUEL_USAGE, "sampler: is null");
    OK(duel_sampler_set(sampler, "generator.hidden.bias", z, 8));
    OK(duel_sampler_sample(sampler, 1, 0, -1, image, 6));
    THAT(image[0] == 128 || image[0] == 127);
    OK(duel_sampler_free(sampler));

    /* A run that diverges, and goes on from a state. */
    OK(duel_trainer_new(data, DIVERGES, NULL, 0, &second));
    IS(duel_trainer_run(second, 100, NULL, NULL), DUEL_DIVERGED, "diverged at step");
    IS(duel_trainer_step(second, &stats), DUEL_DIVERGED, "diverged");
    IS(duel_trainer_digest(second, text, sizeof text), DUEL_DIVERGED, "diverged");
    IS(duel_trainer_sample(second, 1, 0, -1, image, sizeof image), DUEL_DIVERGED, "diverged");
    OK(duel_trainer_state_bytes(second, &bytes));
    IS(duel_trainer_save_state(second, state, bytes), DUEL_DIVERGED, "diverged");
    IS(duel_trainer_save(second, file), DUEL_DIVERGED, "diverged");
    OK(duel_trainer_save_state(trainer, state, bytes));
    OK(duel_trainer_load_state(second, state, bytes));
    OK(duel_trainer_digest(second, text, sizeof text));
    OK(duel_trainer_digest(trainer, before, sizeof before));
    THAT(strcmp(text, before) == 0);
    OK(duel_trainer_free(second));

    /* The images outlive their handle. */
    OK(duel_data_free(data));
    OK(duel_trainer_step(trainer, &stats));
    OK(duel_trainer_free(trainer));
    OK(duel_trainer_free(NULL));
    OK(duel_data_free(labelled));
    free(state);
    printf("%d rows, %d wrong\n", rows, wrong);
    return wrong != 0;
}
