// The same in C++, on the program's own threads and in memory of its own.
//
//     c++ -std=c++17 -Iinclude examples/own_threads.cpp target/release/libduel_capi.a -lpthread -lm -ldl -o own_threads
//     ./own_threads OUT.pgm [STEPS]
#include <duel.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static void check(duel_code code) {
    if (code != DUEL_OK) {
        throw std::runtime_error(duel_message());
    }
}

template <typename T, duel_code (*release)(T *)>
struct Release {
    void operator()(T *handle) const { release(handle); }
};
using Data = std::unique_ptr<duel_data, Release<duel_data, duel_data_free>>;
using Trainer = std::unique_ptr<duel_trainer, Release<duel_trainer, duel_trainer_free>>;

// All workers at the same time, each on a thread; a program with threads that wait for work hands each of them one.
static void on_own_threads(void *, size_t workers, duel_work work, void *job) {
    std::vector<std::thread> threads;
    try {
        for (size_t w = 1; w < workers; w++) {
            threads.emplace_back(work, job, w);
        }
    } catch (const std::exception &) {
        // No exception may cross the library. Those that have come wait for the others, and the run ends with an error.
    }
    work(job, 0);
    for (auto &thread : threads) {
        thread.join();
    }
}

static Data made_up() {
    std::vector<std::uint8_t> pixels(1000 * 28 * 28);
    for (std::size_t i = 0; i < pixels.size(); i++) {
        std::uint64_t word = std::uint64_t(i) * 2654435761u;
        pixels[i] = ((word >> 7) & 7) < 6 ? 0 : std::uint8_t(i * 31 % 256);
    }
    duel_data *data = nullptr;
    check(duel_data_copy(pixels.data(), 1000, 28, 28, nullptr, &data));
    return Data(data);
}

struct alignas(64) Line {
    unsigned char bytes[64];
};

static int run(const char *file, std::uint64_t steps) {
    const std::string settings = "validation=100 seed=42";
    Data data = made_up();
    std::size_t bytes = 0;
    check(duel_trainer_memory(data.get(), settings.c_str(), &bytes));
    std::vector<Line> memory(bytes / sizeof(Line));  // outlives the trainer
    duel_trainer *made = nullptr;
    check(duel_trainer_new(data.get(), settings.c_str(), memory.data(), bytes, &made));
    Trainer trainer(made);
    duel_team team = {2, on_own_threads, nullptr};
    check(duel_trainer_set_team(trainer.get(), &team));

    // A callback must not throw; it may stop the run, which can go on then.
    std::uint64_t stop_at = (steps + 2) / 3, done = 0;
    auto stop = [](void *at, const duel_stats *stats) -> std::int32_t {
        return stats->step == *static_cast<std::uint64_t *>(at);
    };
    check(duel_trainer_run(trainer.get(), steps, stop, &stop_at));
    check(duel_trainer_steps(trainer.get(), &done));
    check(duel_trainer_run(trainer.get(), steps - done, nullptr, nullptr));

    char digest[DUEL_DIGEST_BYTES];
    check(duel_trainer_digest(trainer.get(), digest, sizeof digest));
    std::puts(digest);

    std::vector<std::uint8_t> image(28 * 28);
    std::vector<float> z(100, 0.5f);  // any noise of one's own
    check(duel_trainer_generate(trainer.get(), z.data(), z.size(), -1, image.data(), image.size()));
    std::ofstream out(file, std::ios::binary);
    out << "P5\n28 28\n255\n";
    out.write(reinterpret_cast<const char *>(image.data()), std::streamsize(image.size()));
    if (!out.flush()) {
        throw std::runtime_error(std::string(file) + ": cannot be written");
    }
    const std::string published = "sha256:702b9ee223d0f01ab32e5d80d1502f00e0067c8a40fcbcc608b0546f581981dd";
    if (done != stop_at || (steps == 300 && digest != published)) {
        std::fputs(done != stop_at ? "not stopped where asked\n" : "not the published digest\n", stderr);
        return DUEL_MISMATCH;
    }
    return DUEL_OK;
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 3) {
        std::fputs("usage: own_threads OUT.pgm [STEPS]\n", stderr);
        return DUEL_USAGE;
    }
    try {
        return run(argv[1], argc > 2 ? std::stoull(argv[2]) : 300);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "duel: %s\n", error.what());
        return DUEL_INTERNAL;
    }
}
