#pragma once

#include <cstdarg>
#include <cstdio>
#include <string>
#include <utility>

#include "cases.hpp"

// The file of a run. No GPU is needed to write it.

namespace bench {

/// One measured case. `bytes`: what must be moved at least; 0 where that says nothing.
struct row {
  std::string name;
  shape s;
  std::string store;
  double kv_bytes_ratio, microseconds, bytes;
  double peak_bytes = 0;  ///< of device memory; 0: not counted

  double rate() const { return bytes / microseconds * 1e6; }  ///< bytes/s
};

/// The device of a run, and bytes per second that its memory moves for the simplest kernels.
struct run_facts {
  std::string gpu;
  int driver = 0;
  double copy_rate = 0;  ///< of a copy, read plus written
  double read_rate = 0;  ///< of reading alone
};

inline std::string formatted(const char* form, ...) {
  char text[1024];
  std::va_list values;
  va_start(values, form);
  std::vsnprintf(text, sizeof text, form, values);
  va_end(values);
  return text;
}

inline std::string json_of(const run_facts& f) {
  return formatted(
      "\"gpu\": \"%s\", \"driver\": %d, \"copy_bytes_per_second\": %.4g, "
      "\"read_bytes_per_second\": %.4g",
      f.gpu.c_str(), f.driver, f.copy_rate, f.read_rate);
}

inline std::string json_of(const row& r, double copy_rate) {
  const auto number = [](index_t n) { return static_cast<long long>(n); };
  std::string text = formatted(
      "{\"case\": \"%s\", \"batch\": %lld, \"context\": %lld, \"q_heads\": %lld, "
      "\"kv_heads\": %lld, \"query_tokens\": %lld, \"store\": \"%s\", \"kv_bytes_ratio\": %.4f, "
      "\"microseconds\": %.2f, ",
      r.name.c_str(), number(r.s.batch), number(r.s.context), number(r.s.q_heads),
      number(r.s.kv_heads), number(r.s.queries), r.store.c_str(), r.kv_bytes_ratio, r.microseconds);
  text += r.bytes > 0 ? formatted("\"bytes_per_second\": %.4g, \"copy_fraction\": %.3f, ", r.rate(),
                                  r.rate() / copy_rate)
                      : "\"bytes_per_second\": null, \"copy_fraction\": null, ";
  if (r.peak_bytes > 0) text += formatted("\"peak_bytes\": %.0f, ", r.peak_bytes);
  return text + "\"peer\": \"rota\"}";
}

/// Written anew with each row and put in place at once, so that the file is whole at any time,
/// whatever stops the run.
class result_file {
 public:
  /// An empty path: no file.
  result_file(std::string path, const run_facts& facts)
      : path_(std::move(path)), copy_rate_(facts.copy_rate), facts_(json_of(facts)) {}

  void add(const row& r) { rows_ += (rows_.empty() ? "\n " : ",\n ") + json_of(r, copy_rate_); }

  /// False where the file could not be written.
  bool write() const {
    if (path_.empty()) return true;
    const std::string part = path_ + ".part";
    std::FILE* const file = std::fopen(part.c_str(), "w");
    if (file == nullptr) return false;
    const std::string text = "{" + facts_ + ", \"rows\": [" + rows_ + "\n]}\n";
    const bool written = std::fputs(text.c_str(), file) >= 0;
    return std::fclose(file) == 0 && written && std::rename(part.c_str(), path_.c_str()) == 0;
  }

 private:
  std::string path_;
  double copy_rate_;
  std::string facts_, rows_;
};

}  // namespace bench
