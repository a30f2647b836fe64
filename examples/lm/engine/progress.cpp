#include "engine/progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <utility>

#include <unistd.h>

namespace rota_lm {

progress::progress(std::string program, double total_work)
    : program_(std::move(program)), total_(total_work), terminal_(::isatty(2) == 1) {}

progress::~progress() {
  clear();
}

void progress::add(double work, const std::string& stage) {
  const std::lock_guard lock(mutex_);
  done_ += work;
  const auto now = clock::now();
  if (now - shown_ < (terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(5))) {
    return;
  }
  shown_ = now;
  show(stage, std::chrono::duration<double>(now - start_).count());
}

void progress::clear() {
  const std::lock_guard lock(mutex_);
  if (terminal_ && drawn_) std::fputs("\r\x1b[K", stderr);
  drawn_ = false;
}

std::string progress::clock_time(double seconds) {
  const auto s = std::lround(std::max(0.0, seconds));
  char text[40];
  if (s >= 3600) {
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  } else {
    std::snprintf(text, sizeof text, "%ld:%02ld", s / 60, s % 60);
  }
  return text;
}

void progress::show(const std::string& stage, double elapsed) {
  const double part = total_ > 0 ? std::min(1.0, done_ / total_) : 1;
  const std::string left = part > 0.01 ? clock_time(elapsed * (1 - part) / part) : "-:--";
  if (!terminal_) {
    std::fprintf(stderr, "%s: %3.0f%%, %s, %s left\n", program_.c_str(), 100 * part, stage.c_str(),
                 left.c_str());
    return;
  }
  constexpr std::size_t width = 32;
  const auto full = static_cast<std::size_t>(part * width);
  const std::string bar = std::string(full, '#') + std::string(width - full, '.');
  std::fprintf(stderr, "\r\x1b[K[%s] %3.0f%%  %s left  %s", bar.c_str(), 100 * part, left.c_str(),
               stage.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace rota_lm
