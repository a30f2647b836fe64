#pragma once

#include "device.cuh"
#include "options.hpp"
#include "result_file.hpp"
#include "timing.cuh"

// What a benchmark tells: a line of text and a row of JSON a case.

namespace bench {

class report {
 public:
  /// Measures what the device's memory can do first. Ends the program where the file cannot be
  /// written: now, not after the work.
  report(const options& o, const machine& m)
      : report(o.out, {m.device.name, m.driver, copy_bytes_per_second(),
                       read_bytes_per_second(m.device.multiProcessorCount)}) {}
  report(const report&) = delete;
  report& operator=(const report&) = delete;

  void add(const row& r) {
    print_line(r);
    file_.add(r);
    expect_written();
  }

 private:
  report(const std::string& path, const run_facts& facts)
      : path_(path), facts_(facts), file_(path, facts) {
    std::printf("%s, driver %d, copies at %.3g bytes/s, reads at %.3g bytes/s\n", facts.gpu.c_str(),
                facts.driver, facts.copy_rate, facts.read_rate);
    std::printf("%-22s %5s %7s %5s %5s  %-13s %6s %12s %8s %8s\n", "case", "batch", "context",
                "heads", "q", "store", "bytes", "us", "of copy", "of read");
    expect_written();
  }
  void expect_written() const {
    if (file_.write()) return;
    std::fprintf(stderr, "%s cannot be written; give --out a path in a folder that is there\n",
                 path_.c_str());
    std::exit(1);
  }
  void print_line(const row& r) const {
    const auto number = [](index_t n) { return static_cast<long long>(n); };
    std::printf("%-22s %5lld %7lld %2lld/%2lld %5lld  %-13s %5.1f%% %12.2f ", r.name.c_str(),
                number(r.s.batch), number(r.s.context), number(r.s.q_heads), number(r.s.kv_heads),
                number(r.s.queries), r.store.c_str(), 100 * r.kv_bytes_ratio, r.microseconds);
    if (r.bytes > 0)
      std::printf("%8.3f %8.3f", r.rate() / facts_.copy_rate, r.rate() / facts_.read_rate);
    if (r.peak_bytes > 0) std::printf("%17s  peak %.4g GB", "", r.peak_bytes / 1e9);
    std::printf("\n");
    std::fflush(stdout);
  }

  std::string path_;
  run_facts facts_;
  result_file file_;
};

}  // namespace bench
