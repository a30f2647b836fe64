// How far the work is and how long it will take: a bar on a terminal, now and then a line
// elsewhere.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

namespace rota_lm {

/// Thread-safe. Writes to stderr; results go to stdout.
class progress {
 public:
  using clock = std::chrono::steady_clock;

  /// `program` is named in the lines that are written where there is no terminal.
  progress(std::string program, double total_work);
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress();

  /// `work` more units are done, of what is called `stage` now.
  void add(double work, const std::string& stage);

  /// Takes the bar away, before something else is printed.
  void clear();

  /// "3:07" or "1:02:07".
  static std::string clock_time(double seconds);

 private:
  void show(const std::string& stage, double elapsed);

  const std::string program_;
  const double total_;
  const bool terminal_;
  const clock::time_point start_ = clock::now();
  clock::time_point shown_{};
  double done_ = 0;
  bool drawn_ = false;
  std::mutex mutex_;
};

}  // namespace rota_lm
