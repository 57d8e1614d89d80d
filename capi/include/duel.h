/* duel: trains the MLP GAN of MNIST on a CPU, with the same bits from a seed everywhere.
 *
 * Every function that can fail returns a duel_code; when that is not DUEL_OK, duel_message() says what was wrong and what was
 * expected. Null where something is needed, a size that is not right, a handle that another call is using and a handle
 * whose run has failed are such codes. Nothing here prints (but a fault that ends with DUEL_INTERNAL), exits, reads the environment
 * or sets a global; no panic and no exception of the library's crosses this interface, nor may one of the caller's.
 *
 * Written by cbindgen from capi/src: a test keeps it current. */

#ifndef DUEL_H
#define DUEL_H

#include <stddef.h>
#include <stdint.h>

// Bytes of the text of a digest: "sha256:", 64 digits, and a zero.
#define DUEL_DIGEST_BYTES 72

// The version of this interface that a program was compiled against: see duel_check_version.
#define DUEL_API_VERSION 1

// What a function returns. The numbers are the exit codes of the duel program.
typedef enum {
    // Done.
    DUEL_OK = 0,
    // A fault of the library's own. What it was about may be lost.
    DUEL_INTERNAL = 1,
    // An argument is null, of a wrong size or out of its range, or a handle is in use by another call.
    DUEL_USAGE = 2,
    // Data or a checkpoint are malformed, damaged, too small or of another run.
    DUEL_INPUT = 3,
    // A file is missing, unreadable or unwritable, or the disk is full.
    DUEL_IO = 4,
    // Training diverged; the trainer can only load a state.
    DUEL_DIVERGED = 5,
    // The machine lacks something: memory, threads, an instruction set, the default mode of its floating-point unit.
    DUEL_ENVIRONMENT = 6,
    // Something recomputed is not what was published.
    DUEL_MISMATCH = 7,
} duel_code;

// Images to train on. Several trainers may use the same, and each keeps it alive: it can be freed when the trainers are made.
typedef struct duel_data duel_data;

// A generator that makes images, on the calling thread.
typedef struct duel_sampler duel_sampler;

// A run: two networks, their optimisers, and the place in the stream of batches.
typedef struct duel_trainer duel_trainer;

// The sizes of a generator.
typedef struct {
    // Values of noise per image.
    size_t latent;
    // Classes that it can be asked for; 0 if it is not conditional.
    size_t classes;
    // Hidden units.
    size_t hidden;
    // Pixels per column.
    size_t height;
    // Pixels per row.
    size_t width;
} duel_shape;

// A piece of work: the caller's threads call it with `job`, each with another number of a worker.
typedef void (*duel_work)(void *job, size_t worker);

// Threads of the caller's.
typedef struct {
    // How many threads there are, 1 or more.
    size_t workers;
    // Calls `work(job, w)` once for each w from 0 to `workers` − 1, at most as many as there are, all at the same time and each on
    // another thread (one of them may be the calling one), and returns when all calls have returned. They wait for each other: if
    // one does not start, all give up after 10 seconds, and the run ends with DUEL_ENVIRONMENT before it has begun. It must not
    // throw: what cannot start a thread returns without it.
    void (*run)(void *host, size_t workers, duel_work work, void *job);
    // Handed to `run`. It is used on whatever thread calls the library.
    void *host;
} duel_team;

// What a step reports.
typedef struct {
    // The step, counted from 1.
    uint64_t step;
    // The generator's loss, before the step's update.
    float generator_loss;
    // The discriminator's.
    float discriminator_loss;
} duel_stats;

// Told of each step of a run, when its losses are known, on one of the run's threads: it must not throw, and must not call the library
// with the same trainer. The run ends after that step if it returns anything but 0.
typedef int32_t (*duel_callback)(void *user, const duel_stats *stats);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What was wrong in the last call on this thread that did not return DUEL_OK: a text in UTF-8, empty before any. It is good until
// the next call on this thread.
const char *duel_message(void);

// Whether this library has the interface that a program was compiled against: duel_check_version(DUEL_API_VERSION) is DUEL_OK, or
// else DUEL_ENVIRONMENT.
duel_code duel_check_version(uint32_t version);

// The version of the library, such as "0.1.0".
const char *duel_version(void);

// The version of the bits: of the same, a seed gives the same.
uint32_t duel_bits_version(void);

// Whether this machine computes what was published: each kernel, on the fastest backend, and some small networks. About a second.
duel_code duel_verify(void);

// Reads a file of images, IDX as MNIST's, plain or gzip, or the folder that has one; with `labels` (not 0) the labels beside them,
// too. Writes the handle to *data.
//
// # Safety
// `file` is null or a text; `data` is null or good for a pointer.
duel_code duel_data_open(const char *file,
                         int32_t labels,
                         duel_data **data);

// Copies `count` images of height × width from `pixels`, a byte per pixel, row by row, and the `count` labels at `labels`, which may
// be null. Writes the handle to *data.
//
// # Safety
// `pixels` is null or good for count · height · width bytes, `labels` is null or good for `count`; `data` is null or good for a
// pointer.
duel_code duel_data_copy(const uint8_t *pixels,
                         size_t count,
                         size_t height,
                         size_t width,
                         const uint8_t *labels,
                         duel_data **data);

// The digest of the images: SHA-256 of their IDX file, decompressed; with labels that of both files' digests.
//
// # Safety
// `data` is null or a handle; `text` is null or good for `bytes` bytes, which must be DUEL_DIGEST_BYTES.
duel_code duel_data_digest(const duel_data *data, char *text, size_t bytes);

// Frees the images; null is nothing to free.
//
// # Safety
// `data` is null or a handle, which nobody uses after this.
duel_code duel_data_free(duel_data *data);

// The generator of a checkpoint (safetensors), of a run's folder (the newest state in it) or of RUN@STEP, which is trained again if it
// was not saved. Where there is an average of the parameters, it is that, unless `raw` is not 0. Writes the handle to *sampler.
//
// # Safety
// `file` is null or a text; `sampler` is null or good for a pointer.
duel_code duel_sampler_open(const char *file,
                            int32_t raw,
                            duel_sampler **sampler);

// Writes to *bytes how much memory a generator of these sizes takes, see duel_sampler_new.
//
// # Safety
// `shape` is null or good for a value, `bytes` is null or good for a number.
duel_code duel_sampler_memory(const duel_shape *shape, size_t *bytes);

// A generator of these sizes, all parameters 0. `memory` is null, and the library takes what it needs, or at a multiple of 64, with
// the `memory_bytes` that duel_sampler_memory says: then it is the generator's until that is freed. Writes the handle to *sampler.
//
// # Safety
// `shape` is null or good for a value, `memory` is null or good for `memory_bytes` bytes, `sampler` is null or good for a pointer.
duel_code duel_sampler_new(const duel_shape *shape,
                           void *memory,
                           size_t memory_bytes,
                           duel_sampler **sampler);

// Sets a tensor of the generator, row-major: "generator.hidden.weight" (latent + classes by hidden), "generator.hidden.bias",
// "generator.out.weight" (hidden by pixels) or "generator.out.bias".
//
// # Safety
// `sampler` is null or a handle, `name` is null or a text, `from` is null or good for `count` values.
duel_code duel_sampler_set(duel_sampler *sampler,
                           const char *name,
                           const float *from,
                           size_t count);

// Writes the sizes of the generator to *shape.
//
// # Safety
// `sampler` is null or a handle; `shape` is null or good for a value.
duel_code duel_sampler_shape(const duel_sampler *sampler, duel_shape *shape);

// As duel_trainer_sample.
//
// # Safety
// `sampler` is null or a handle; `pixels` is null or good for `bytes` bytes.
duel_code duel_sampler_sample(duel_sampler *sampler,
                              uint64_t seed,
                              uint64_t first,
                              int32_t label,
                              uint8_t *pixels,
                              size_t bytes);

// As duel_trainer_generate.
//
// # Safety
// As duel_sampler_sample; `z` is null or good for `count` numbers, none of them in `pixels`.
duel_code duel_sampler_generate(duel_sampler *sampler,
                                const float *z,
                                size_t count,
                                int32_t label,
                                uint8_t *pixels,
                                size_t bytes);

// Frees a generator; null is nothing to free.
//
// # Safety
// `sampler` is null or a handle, which nobody uses after this.
duel_code duel_sampler_free(duel_sampler *sampler);

// Writes to *bytes how much memory a trainer takes, see duel_trainer_new.
//
// # Safety
// `data` is null or a handle, `names_and_values` is null or a text, `bytes` is null or good for a number.
duel_code duel_trainer_memory(const duel_data *data, const char *names_and_values, size_t *bytes);

// A run at step 0 on the fastest backend and one thread, the calling one. Writes the handle to *trainer.
//
// Settings are those of the duel program, as NAME=VALUE with a space between two, such as "seed=7 batch-size=64" or
// "preset=labelled"; null are the defaults, which are the tutorial's. `memory` is null, and the library takes what it needs, or at
// a multiple of 64, with the `memory_bytes` that duel_trainer_memory says: then it is the trainer's until that is freed.
//
// # Safety
// `data` is null or a handle, `names_and_values` is null or a text, `memory` is null or good for `memory_bytes` bytes, `trainer` is
// null or good for a pointer.
duel_code duel_trainer_new(const duel_data *data,
                           const char *names_and_values,
                           void *memory,
                           size_t memory_bytes,
                           duel_trainer **trainer);

// Frees a trainer; null is nothing to free.
//
// # Safety
// `trainer` is null or a handle, which nobody uses after this.
duel_code duel_trainer_free(duel_trainer *trainer);

// Trains and samples on so many threads of the library's from now on; 0: as many as this process may use. At most 16 have something
// to do. The bits are the same. They sleep between calls, and end when the trainer is freed or takes others.
//
// # Safety
// `trainer` is null or a handle.
duel_code duel_trainer_set_threads(duel_trainer *trainer,
                                   size_t threads);

// Trains and samples on the caller's threads from now on. The bits are the same. *team is copied.
//
// # Safety
// `trainer` is null or a handle; `team` is null or does what its documentation says, as long as the trainer has it.
duel_code duel_trainer_set_team(duel_trainer *trainer,
                                const duel_team *team);

// Chooses the backend: "reference", "wide", "avx2" or "avx512". The bits are the same.
//
// # Safety
// `trainer` is null or a handle, `isa` is null or a text.
duel_code duel_trainer_set_isa(duel_trainer *trainer, const char *isa);

// One step. Its losses go to *stats, which may be null.
//
// # Safety
// `trainer` is null or a handle; `stats` is null or good for a value.
duel_code duel_trainer_step(duel_trainer *trainer, duel_stats *stats);

// So many steps, or fewer if `callback`, which may be null, ends the run. Faster than single steps where there are several threads.
//
// # Safety
// `trainer` is null or a handle; `callback` is null or does what its documentation says.
duel_code duel_trainer_run(duel_trainer *trainer,
                           uint64_t steps,
                           duel_callback callback,
                           void *user);

// Writes to *steps how many steps are done.
//
// # Safety
// `trainer` is null or a handle; `steps` is null or good for a number.
duel_code duel_trainer_steps(const duel_trainer *trainer, uint64_t *steps);

// Writes the sizes of the generator to *shape.
//
// # Safety
// `trainer` is null or a handle; `shape` is null or good for a value.
duel_code duel_trainer_shape(const duel_trainer *trainer, duel_shape *shape);

// Writes the digest of the state as text: the SHA-256 of what duel_trainer_save_state writes, without the average.
//
// # Safety
// `trainer` is null or a handle; `text` is null or good for `bytes` bytes, which must be DUEL_DIGEST_BYTES.
duel_code duel_trainer_digest(const duel_trainer *trainer,
                              char *text,
                              size_t bytes);

// Writes the digest of the average of the generator's parameters as text; DUEL_USAGE if there is none.
//
// # Safety
// As duel_trainer_digest.
duel_code duel_trainer_average_digest(const duel_trainer *trainer, char *text, size_t bytes);

// Writes to `probabilities` two values: the discriminator's mean probability of a real image being real, and of a generated one, in the
// last step that this trainer took.
//
// # Safety
// `trainer` is null or a handle; `probabilities` is null or good for two values.
duel_code duel_trainer_mean_probabilities(const duel_trainer *trainer,
                                          float *probabilities);

// Writes images first, first + 1, … of the samples of `seed` to `pixels`, a byte per pixel, white on black: as many as `bytes` hold,
// which must be a whole number of them. Image i depends on the weights (their average, if there is one), `seed` and i alone.
// `label` is the class of all, or −1: then that of image i is i mod classes, if there are any. After an error `pixels`
// have no meaning.
//
// # Safety
// `trainer` is null or a handle; `pixels` is null or good for `bytes` bytes.
duel_code duel_trainer_sample(duel_trainer *trainer,
                              uint64_t seed,
                              uint64_t first,
                              int32_t label,
                              uint8_t *pixels,
                              size_t bytes);

// As duel_trainer_sample, of the caller's own noise: `z` has `count` numbers, as many for each image as the shape's latent says,
// from −1 to 1 as in training.
//
// # Safety
// As duel_trainer_sample; `z` is null or good for `count` numbers, none of them in `pixels`.
duel_code duel_trainer_generate(duel_trainer *trainer,
                                const float *z,
                                size_t count,
                                int32_t label,
                                uint8_t *pixels,
                                size_t bytes);

// Writes a tensor, row-major, to `to`, as many values as it has. Names are those of a checkpoint, such as "generator.out.weight",
// "generator.out.weight.adam_m" and .adam_v for its moments, and .average.
//
// # Safety
// `trainer` is null or a handle, `name` is null or a text, `to` is null or good for `count` values.
duel_code duel_trainer_tensor(const duel_trainer *trainer,
                              const char *name,
                              float *to,
                              size_t count);

// Writes to *bytes how large a state is, the average included.
//
// # Safety
// `trainer` is null or a handle; `bytes` is null or good for a number.
duel_code duel_trainer_state_bytes(const duel_trainer *trainer, size_t *bytes);

// Writes the state to `state`, whose size must be that of duel_trainer_state_bytes: the step as u64, all parameters, first and
// second moments as f32, and the average if there is one; little-endian, G before D, layer by layer, weight before bias, row-major.
//
// # Safety
// `trainer` is null or a handle; `state` is null or good for `bytes` bytes.
duel_code duel_trainer_save_state(const duel_trainer *trainer,
                                  uint8_t *state,
                                  size_t bytes);

// Goes on from a state that duel_trainer_save_state wrote: the next steps are those that the saved run would have taken, if settings
// and data are the same. A trainer whose run has failed is good again.
//
// # Safety
// `trainer` is null or a handle; `state` is null or good for `bytes` bytes.
duel_code duel_trainer_load_state(duel_trainer *trainer,
                                  const uint8_t *state,
                                  size_t bytes);

// Writes a checkpoint (safetensors), which the duel program reads, too. The file is written whole or not at all.
//
// # Safety
// `trainer` is null or a handle; `file` is null or a text.
duel_code duel_trainer_save(const duel_trainer *trainer,
                            const char *file);

// Goes on from a checkpoint. Its settings and its data must be the trainer's.
//
// # Safety
// `trainer` is null or a handle; `file` is null or a text.
duel_code duel_trainer_load(duel_trainer *trainer, const char *file);

// Writes the generator as one file of C99 that needs nothing else. With `raw` (not 0) the parameters themselves where there is an
// average of them.
//
// # Safety
// `trainer` is null or a handle; `file` is null or a text.
duel_code duel_trainer_export_c(const duel_trainer *trainer,
                                const char *file,
                                int32_t raw);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DUEL_H */
