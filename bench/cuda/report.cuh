#pragma once

#include <cstring>
#include <string>

#include "device.cuh"

// What a benchmark is asked for, and what it tells: a line of text and a row of JSON a case.

namespace bench {

using rota::index_t;

struct options {
  const char* out = nullptr;  ///< null: no file
  bool quick = false;
};

/// Reads the command line; ends the program where it is not understood.
inline options options_of(int argc, char** argv) {
  options o;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--out") == 0 && i + 1 < argc) {
      o.out = argv[++i];
    } else if (std::strcmp(argv[i], "--quick") == 0) {
      o.quick = true;
    } else {
      std::fprintf(stderr, "usage: %s [--out FILE.json] [--quick]\n", argv[0]);
      std::exit(2);
    }
  }
  return o;
}

struct shape {
  index_t batch, context, q_heads, kv_heads, queries;  ///< q_heads and queries 0: there are none
};

/// One measured case. `bytes`: what must be moved at least; 0 where that says nothing.
struct row {
  std::string name;
  shape s;
  std::string store;
  double kv_bytes_ratio, microseconds, bytes;
  double peak_bytes = 0;  ///< of device memory; 0: not counted
};

/// The file of a run. Rows are written as they come, so that a run that is stopped shows something.
class report {
 public:
  report(const options& o, const machine& m) : copy_rate_(m.copy_rate) {
    std::printf("%-22s %5s %7s %5s %5s  %-13s %6s %12s %8s\n", "case", "batch", "context", "heads",
                "q", "store", "bytes", "us", "of copy");
    if (o.out == nullptr) return;
    file_ = std::fopen(o.out, "w");
    if (file_ == nullptr) {
      std::fprintf(stderr, "cannot write %s\n", o.out);
      std::exit(1);
    }
    std::fprintf(file_,
                 "{\"gpu\": \"%s\", \"driver\": %d, \"copy_bytes_per_second\": %.4g, \"rows\": [",
                 m.device.name, m.driver, m.copy_rate);
  }
  report(const report&) = delete;
  report& operator=(const report&) = delete;

  void add(const row& r) {
    const double rate = r.bytes / r.microseconds * 1e6;
    print_line(r, rate);
    if (file_ != nullptr) write(r, rate);
    first_ = false;
  }
  /// To be called at the end: false when the file could not be written.
  bool close() {
    if (file_ == nullptr) return true;
    std::fprintf(file_, "\n]}\n");
    const bool good = std::ferror(file_) == 0;
    return std::fclose(file_) == 0 && good;
  }

 private:
  void print_line(const row& r, double rate) const {
    std::printf("%-22s %5lld %7lld %2lld/%2lld %5lld  %-13s %5.1f%% %12.2f ", r.name.c_str(),
                number(r.s.batch), number(r.s.context), number(r.s.q_heads), number(r.s.kv_heads),
                number(r.s.queries), r.store.c_str(), 100 * r.kv_bytes_ratio, r.microseconds);
    if (r.bytes > 0) std::printf("%8.3f", rate / copy_rate_);
    if (r.peak_bytes > 0) std::printf("%8s  peak %.4g GB", "", r.peak_bytes / 1e9);
    std::printf("\n");
    std::fflush(stdout);
  }
  void write(const row& r, double rate) {
    std::fprintf(
        file_,
        "%s\n    {\"case\": \"%s\", \"batch\": %lld, \"context\": %lld, \"q_heads\": %lld, "
        "\"kv_heads\": %lld, \"query_tokens\": %lld, \"store\": \"%s\", \"kv_bytes_ratio\": %.4f, "
        "\"microseconds\": %.2f, ",
        first_ ? "" : ",", r.name.c_str(), number(r.s.batch), number(r.s.context),
        number(r.s.q_heads), number(r.s.kv_heads), number(r.s.queries), r.store.c_str(),
        r.kv_bytes_ratio, r.microseconds);
    if (r.bytes > 0)
      std::fprintf(file_, "\"bytes_per_second\": %.4g, \"copy_fraction\": %.3f, ", rate,
                   rate / copy_rate_);
    else
      std::fprintf(file_, "\"bytes_per_second\": null, \"copy_fraction\": null, ");
    if (r.peak_bytes > 0) std::fprintf(file_, "\"peak_bytes\": %.0f, ", r.peak_bytes);
    std::fprintf(file_, "\"peer\": \"rota\"}");
  }
  static long long number(index_t n) { return static_cast<long long>(n); }

  double copy_rate_;
  std::FILE* file_ = nullptr;
  bool first_ = true;
};

}  // namespace bench
