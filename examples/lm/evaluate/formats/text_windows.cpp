#include "evaluate/formats/text_windows.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "engine/error.hpp"
#include "engine/mapped_file.hpp"

namespace rota_lm::eval {

text_windows::text_windows(const std::string& path, std::size_t context, std::size_t stride,
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

token_ids text_windows::context(std::size_t window) const {
  token_ids out = before_;
  const std::span<const token_id> own = all().subspan(window * stride_, length_);
  out.insert(out.end(), own.begin(), own.end());
  return out;
}

token_ids text_windows::scored(std::size_t window) const {
  const auto own = scored_span(window);
  return {own.begin(), own.end()};
}

double text_windows::words(std::size_t window) const {
  const std::span<const token_id> own = scored_span(window);
  const std::span<const token_id> with_last(own.data() - 1, own.size() + 1);
  const std::string written = text_.decode(with_last);
  double words = 0;
  for (std::size_t i = text_.decode(with_last.first(1)).size(); i < written.size(); ++i) {
    if (!is_space(written[i]) && (i == 0 || is_space(written[i - 1]))) ++words;
  }
  return words;
}

std::span<const token_id> text_windows::scored_span(std::size_t window) const {
  const std::size_t begin = window * stride_ + length_;
  return all().subspan(begin, std::min(stride_, ids_.size() - begin));
}

task text_task(const std::string& path, std::size_t stride, const options& o,
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
