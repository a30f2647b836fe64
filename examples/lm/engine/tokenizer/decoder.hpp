// The decoder section of tokenizer.json: how the spellings of tokens become text again.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/tokenizer/byte_alphabet.hpp"
#include "engine/tokenizer/normalizer.hpp"
#include "engine/tokenizer/pre_tokenizer.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

/// ByteLevel, Replace (of a literal), ByteFallback, Fuse, Strip, Metaspace and sequences of them;
/// others are refused by name.
class decoder {
 public:
  /// The decoder of files that have none: tokens with spaces between.
  decoder() { steps_.emplace_back(join{}); }
  explicit decoder(const json_field& field) { read(field); }

  /// The text of tokens, always valid UTF-8.
  std::string operator()(std::vector<std::string> tokens) const {
    for (const auto& step : steps_) std::visit([&](const auto& s) { s.apply(tokens); }, step);
    std::string out;
    for (const std::string& token : tokens) out += token;
    return to_valid_utf8(out);
  }

 private:
  using texts = std::vector<std::string>;

  static void fuse_into_one(texts& tokens) {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens = {all};
  }

  struct join {
    void apply(texts& tokens) const {
      for (std::size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(tokens[i].begin(), ' ');
    }
  };

  struct byte_level {
    void apply(texts& tokens) const {
      // A token that is not spelled in the byte alphabet (an added one) stands for itself.
      for (std::string& token : tokens) {
        if (auto bytes = byte_alphabet::get().to_bytes(token)) token = std::move(*bytes);
      }
      fuse_into_one(tokens);
    }
  };

  struct replace {
    std::string from, to;
    void apply(texts& tokens) const {
      for (std::string& token : tokens) token = replace_all(token, from, to);
    }
  };

  struct byte_fallback {
    void apply(texts& tokens) const {
      texts out;
      std::string bytes;
      const auto flush = [&] {
        if (is_utf8(bytes)) {
          if (!bytes.empty()) out.push_back(bytes);
        } else {
          out.insert(out.end(), bytes.size(), "\xef\xbf\xbd");
        }
        bytes.clear();
      };
      for (std::string& token : tokens) {
        if (const auto byte = byte_of(token)) {
          bytes += *byte;
          continue;
        }
        flush();
        out.push_back(std::move(token));
      }
      flush();
      tokens = std::move(out);
    }

    /// The byte that "<0x41>" spells.
    static std::optional<char> byte_of(std::string_view token) {
      if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return {};
      int value = 0;
      for (const char c : token.substr(3, 2)) {
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                 : -1;
        if (digit < 0) return {};
        value = value * 16 + digit;
      }
      return static_cast<char>(value);
    }
  };

  struct fuse {
    void apply(texts& tokens) const { fuse_into_one(tokens); }
  };

  struct strip {
    std::string content;  // one character
    std::size_t start, stop;
    void apply(texts& tokens) const {
      for (std::string& token : tokens) {
        for (std::size_t i = 0; i < start && token.starts_with(content); ++i) {
          token.erase(0, content.size());
        }
        for (std::size_t i = 0; i < stop && token.ends_with(content); ++i) {
          token.erase(token.size() - content.size());
        }
      }
    }
  };

  struct metaspace {
    std::string mark;
    prepend_scheme scheme;
    void apply(texts& tokens) const {
      bool leading = scheme != prepend_scheme::never;
      for (std::string& token : tokens) {
        token = replace_all(token, mark, leading ? "" : " ");
        leading = false;
      }
    }
  };

  void read(const json_field& field) {
    const std::string& type = field.at("type").string();
    if (type == "Sequence") {
      const json_field list = field.at("decoders");
      for (std::size_t i = 0; i < list.size(); ++i) read(list.at(i));
    } else if (type == "ByteLevel") {
      steps_.emplace_back(byte_level{});
    } else if (type == "Replace") {
      steps_.emplace_back(replace{literal_pattern(field), field.at("content").string()});
    } else if (type == "ByteFallback") {
      steps_.emplace_back(byte_fallback{});
    } else if (type == "Fuse") {
      steps_.emplace_back(fuse{});
    } else if (type == "Strip") {
      steps_.emplace_back(strip{one_character(field.at("content")),
                                field.at("start").count(0, 1 << 20),
                                field.at("stop").count(0, 1 << 20)});
    } else if (type == "Metaspace") {
      steps_.emplace_back(
          metaspace{one_character(field.at("replacement")), read_prepend_scheme(field)});
    } else {
      fail(field.where(), "decoder \"" + printable(type, 40) + "\" is not supported");
    }
  }

  static const std::string& one_character(const json_field& field) {
    if (decode_utf8(field.string()).points.size() != 1) {
      fail(field.where(), "must be one character");
    }
    return field.string();
  }

  std::vector<std::variant<join, byte_level, replace, byte_fallback, fuse, strip, metaspace>>
      steps_;
};

}  // namespace rota_lm
