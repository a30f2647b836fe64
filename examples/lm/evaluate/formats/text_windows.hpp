// Raw text (WikiText's files, a book) in windows: the usual strided perplexity.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/error.hpp"
#include "engine/mapped_file.hpp"
#include "evaluate/task.hpp"

namespace rota_lm::eval {

/// A text cut into windows that begin `stride` tokens apart. Each has `context` tokens, which are
/// compressed, and up to `stride` more, which are scored: every token after the first `context` is
/// scored once, after as many tokens as any other. Refers to its tokenizer.
class text_windows {
 public:
  /// `context` counts what the tokenizer puts before a text, which each window begins with.
  text_windows(const std::string& path, std::size_t context, std::size_t stride,
               const tokenizer& text)
      : text_(text), stride_(stride), before_(text.encode("")) {
    const mapped_file file(path);
    ids_ = text.encode(file.text(), false);
    if (context <= before_.size()) fail("--context", "leaves no room for text");
    length_ = context - before_.size();
    if (ids_.size() <= length_) {
      fail(path, "a text of " + std::to_string(ids_.size()) + " tokens; a window has " +
                     std::to_string(length_) + " and those that are scored: take less with " +
                     "--context");
    }
  }

  std::size_t count() const { return (ids_.size() - length_ + stride_ - 1) / stride_; }

  token_ids context(std::size_t window) const {
    token_ids out = before_;
    const std::span<const token_id> own = all().subspan(window * stride_, length_);
    out.insert(out.end(), own.begin(), own.end());
    return out;
  }

  token_ids scored(std::size_t window) const {
    const auto own = scored_span(window);
    return {own.begin(), own.end()};
  }

  /// Words that begin in the scored tokens; between words is white space.
  double words(std::size_t window) const {
    const std::span<const token_id> own = scored_span(window);
    const std::span<const token_id> with_last(own.data() - 1, own.size() + 1);
    const std::string written = text_.decode(with_last);
    double words = 0;
    for (std::size_t i = text_.decode(with_last.first(1)).size(); i < written.size(); ++i) {
      if (!is_space(written[i]) && (i == 0 || is_space(written[i - 1]))) ++words;
    }
    return words;
  }

 private:
  static bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
  std::span<const token_id> all() const { return ids_; }
  std::span<const token_id> scored_span(std::size_t window) const {
    const std::size_t begin = window * stride_ + length_;
    return all().subspan(begin, std::min(stride_, ids_.size() - begin));
  }

  const tokenizer& text_;
  std::size_t stride_, length_;
  token_ids before_, ids_;
};

/// Perplexity per token, and per word, of the first `o.samples` windows of a text.
inline task text_task(const std::string& path, std::size_t stride, const options& o,
                      const model_config& config, const tokenizer& text) {
  const auto windows = std::make_shared<const text_windows>(path, o.context, stride, text);
  task t;
  t.name = "text";
  t.how = scoring::perplexity;
  t.samples = std::min(o.samples, windows->count());
  for (std::size_t i = 0; i < t.samples; ++i) t.words.push_back(windows->words(i));
  t.make = [windows, path, when = o.when, limit = config.max_positions](std::size_t number) {
    written_sample w;
    w.how = scoring::perplexity;
    w.where = path + ", window " + std::to_string(number + 1);
    w.context = windows->context(number);
    w.answers = {windows->scored(number)};
    return cut(std::move(w), when, limit);
  };
  return t;
}

}  // namespace rota_lm::eval
