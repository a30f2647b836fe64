#include "engine/tokenizer/decode_steps.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "engine/error.hpp"
#include "engine/tokenizer/byte_alphabet.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm::decode_steps {

namespace {

constexpr const char* replacement_character = "\xef\xbf\xbd";
constexpr std::size_t byte_token_size = 6;  // "<0x41>"

/// The byte that "<0x41>" spells.
std::optional<char> byte_of(std::string_view token) {
  if (token.size() != byte_token_size || !token.starts_with("<0x") || token.back() != '>') {
    return std::nullopt;
  }
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<char>(value);
}

const std::string& one_character(const json_field& field) {
  if (decode_utf8(field.string()).points.size() != 1) {
    fail(field.where(), "must be one character");
  }
  return field.string();
}

void append_times(std::string& out, std::string_view text, std::size_t times) {
  for (std::size_t i = 0; i < times; ++i) out += text;
}

}  // namespace

void join::push(token_part part, const growth_bound&, token_parts& out) {
  if (begins_ && !first_) part.text.insert(part.text.begin(), ' ');
  first_ = false;
  begins_ = part.ends;
  out.push_back(std::move(part));
}

void byte_level::push(token_part part, const growth_bound&, token_parts& out) {
  spelling_ += part.text;
  if (!part.ends) return;
  // A token that is not spelled in the byte alphabet (an added one) stands for itself.
  bytes_ += byte_alphabet::get().to_bytes(spelling_).value_or(spelling_);
  spelling_.clear();
  const std::size_t settled = bytes_.size() - incomplete_utf8(bytes_);
  out.push_back({to_valid_utf8(std::string_view(bytes_).substr(0, settled)), false});
  bytes_.erase(0, settled);
}

void byte_level::finish(token_parts& out) {
  out.push_back({to_valid_utf8(bytes_)});
}

void replace::push(token_part part, const growth_bound& bound, token_parts& out) {
  pending_ += part.text;
  if (part.ends) {
    out.push_back({replace_(pending_, bound)});
    pending_.clear();
  } else {
    out.push_back({replace_.take(pending_, bound), false});
  }
}

void byte_fallback::push(token_part part, const growth_bound&, token_parts& out) {
  token_ += part.text;
  if (!passes_) {
    if (!part.ends && token_.size() <= byte_token_size) return;
    const auto byte = part.ends ? byte_of(token_) : std::nullopt;
    if (byte) {
      token_.clear();
      push_byte(*byte, out);
      return;
    }
    end_run(out);
  }
  out.push_back({std::move(token_), part.ends});
  token_.clear();
  passes_ = !part.ends;
}

void byte_fallback::push_byte(char byte, token_parts& out) {
  if (invalid_) {
    out.push_back({replacement_character});
    return;
  }
  run_ += byte;
  const auto last = std::string_view(run_).substr(checked_);
  if (is_utf8(last)) {
    checked_ = run_.size();
  } else if (incomplete_utf8(last) != last.size()) {
    invalid_ = true;
    out.insert(out.end(), run_.size(), {replacement_character});
  }
}

void byte_fallback::end_run(token_parts& out) {
  if (!invalid_ && checked_ != run_.size()) {
    out.insert(out.end(), run_.size(), {replacement_character});
  } else if (!invalid_ && !run_.empty()) {
    out.push_back({std::move(run_)});
  }
  run_.clear();
  checked_ = 0;
  invalid_ = false;
}

void fuse::push(token_part part, const growth_bound&, token_parts& out) {
  out.push_back({std::move(part.text), false});
}

strip::strip(const json_field& field)
    : content_(one_character(field.at("content"))),
      start_(field.at("start").count(0, 1 << 20)),
      stop_(field.at("stop").count(0, 1 << 20)),
      to_strip_(start_) {}

void strip::push(token_part part, const growth_bound&, token_parts& out) {
  std::string_view text = part.text;
  for (; to_strip_ != 0 && text.starts_with(content_); --to_strip_) {
    text.remove_prefix(content_.size());
  }
  std::string made;
  if (!text.empty()) {
    to_strip_ = 0;
    std::size_t last = 0;  // how often the text ends with it
    for (; text.ends_with(content_); ++last) text.remove_suffix(content_.size());
    if (!text.empty()) append_times(made, content_, std::exchange(held_, 0));
    made += text;
    held_ += last;
    if (held_ > stop_) append_times(made, content_, held_ - stop_);
    held_ = std::min(held_, stop_);
  }
  if (part.ends) {
    to_strip_ = start_;
    held_ = 0;
  }
  out.push_back({std::move(made), part.ends});
}

metaspace::metaspace(const json_field& field)
    : mark_(one_character(field.at("replacement"))),
      leading_(read_prepend_scheme(field) != prepend_scheme::never) {}

void metaspace::push(token_part part, const growth_bound&, token_parts& out) {
  out.push_back({replace_all(part.text, mark_, leading_ ? "" : " "), part.ends});
  if (part.ends) leading_ = false;
}

}  // namespace rota_lm::decode_steps
