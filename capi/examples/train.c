/* Trains 300 steps on made-up images, or on MNIST, going on from a saved state half-way; compares the digest with the published
 * one, if that is known, and writes a picture of 36 samples.
 *
 *     cc -std=c99 -Iinclude examples/train.c target/release/libduel_capi.a -lpthread -lm -ldl -o train
 *     ./train OUT.pgm [STEPS [DATA]]         DATA: a folder with train-images-idx3-ubyte.gz
 */
#include <duel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(duel_code code) {
    if (code != DUEL_OK) {
        fprintf(stderr, "duel: %s\n", duel_message());
        exit((int)code);
    }
}

static int32_t report(void *user, const duel_stats *stats) {
    uint64_t every = *(const uint64_t *)user;
    if (stats->step % every == 0) {
        printf("%6lu: G %.3f D %.3f\n", (unsigned long)stats->step, stats->generator_loss,
               stats->discriminator_loss);
    }
    return 0; /* anything else ends the run after this step */
}

/* 1,000 images of 28 x 28, three quarters of them black, as the engine's own tests have them. */
static void made_up(duel_data **data) {
    size_t count = 1000, bytes = count * 28 * 28;
    uint8_t *pixels = malloc(bytes);
    if (pixels == NULL) {
        exit(DUEL_ENVIRONMENT);
    }
    for (size_t i = 0; i < bytes; i++) {
        uint64_t word = (uint64_t)i * 2654435761u;
        pixels[i] = ((word >> 7) & 7) < 6 ? 0 : (uint8_t)(i * 31 % 256);
    }
    check(duel_data_copy(pixels, count, 28, 28, NULL, data));
    free(pixels);
}

static void write_pgm(const char *file, duel_trainer *trainer) {
    enum { SIDE = 28, GRID = 6 };
    static uint8_t images[GRID * GRID][SIDE][SIDE];
    check(duel_trainer_sample(trainer, 42, 0, -1, &images[0][0][0], sizeof images));
    FILE *out = fopen(file, "wb");
    if (out == NULL) {
        perror(file);
        exit(DUEL_IO);
    }
    fprintf(out, "P5\n%d %d\n255\n", SIDE * GRID, SIDE * GRID);
    for (int y = 0; y < SIDE * GRID; y++) {
        for (int x = 0; x < SIDE * GRID; x++) {
            fputc(255 - images[y / SIDE * GRID + x / SIDE][y % SIDE][x % SIDE], out);
        }
    }
    if (fclose(out) != 0) {
        perror(file);
        exit(DUEL_IO);
    }
}

int main(int argc, char **argv) {
    static const struct {
        int mnist;
        uint64_t steps;
        const char *digest;
    } published[] = {
        {0, 3, "sha256:f72f928a43e69b68e7deadcae59ca652851b166db1449883d7ec73f2d1370721"},
        {0, 300, "sha256:702b9ee223d0f01ab32e5d80d1502f00e0067c8a40fcbcc608b0546f581981dd"},
        {1, 100, "sha256:3c599ea88b57623bec54b34a4f2a6e2bde97fa49cacc71a6a1656349ac417883"},
        {1, 1000, "sha256:8b64b24be2bdb793a3fd08143ce5d8838db2f3dbc185f57bb0b03d340e5d68e1"},
    };
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: train OUT.pgm [STEPS [DATA]]\n");
        return DUEL_USAGE;
    }
    check(duel_check_version(DUEL_API_VERSION));
    int mnist = argc > 3;
    const char *settings = mnist ? NULL : "validation=100";
    uint64_t steps = argc > 2 ? strtoull(argv[2], NULL, 10) : 300, half = steps / 2, every = 100;

    duel_data *data = NULL;
    duel_trainer *trainer = NULL;
    if (mnist) {
        check(duel_data_open(argv[3], 0, &data));
    } else {
        made_up(&data);
    }
    check(duel_trainer_new(data, settings, NULL, 0, &trainer));
    check(duel_trainer_set_threads(trainer, 0));
    check(duel_trainer_run(trainer, half, report, &every));

    /* What is saved here goes on there, to the same bits. */
    size_t bytes = 0;
    check(duel_trainer_state_bytes(trainer, &bytes));
    uint8_t *state = malloc(bytes);
    if (state == NULL) {
        return DUEL_ENVIRONMENT;
    }
    check(duel_trainer_save_state(trainer, state, bytes));
    check(duel_trainer_free(trainer));
    check(duel_trainer_new(data, settings, NULL, 0, &trainer));
    check(duel_data_free(data));
    check(duel_trainer_load_state(trainer, state, bytes));
    free(state);
    check(duel_trainer_run(trainer, steps - half, report, &every));

    char digest[DUEL_DIGEST_BYTES];
    check(duel_trainer_digest(trainer, digest, sizeof digest));
    printf("%s\n", digest);
    write_pgm(argv[1], trainer);
    check(duel_trainer_free(trainer));
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        if (published[i].mnist == mnist && published[i].steps == steps && strcmp(published[i].digest, digest) != 0) {
            fprintf(stderr, "not the published digest\n");
            return DUEL_MISMATCH;
        }
    }
    return 0;
}
