#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

#include <rota/core/config.hpp>

namespace rota {

/// A 64-bit name of what a store was made by: FNV-1a (Fowler, Noll, Vo) over the names and
/// parameters that are added, in order. Texts and numbers count with their kind and length, so that
/// "a", "bc" is not "ab", "c". The same number on every machine. It tells policies apart; it keeps
/// nobody out who wants the same number.
class fingerprint {
 public:
  constexpr fingerprint& add(std::string_view text) {
    add_word('s', text.size());
    for (const char c : text) add_byte(static_cast<unsigned char>(c));
    return *this;
  }
  constexpr fingerprint& add(const char* text) { return add(std::string_view(text)); }
  template <std::integral T>
  constexpr fingerprint& add(T number) {
    return add_word('i', static_cast<std::uint64_t>(number));
  }
  /// -0 counts as 0.
  template <std::floating_point T>
  constexpr fingerprint& add(T number) {
    return add_word('f', bit_cast<std::uint64_t>(static_cast<double>(number) + 0.0));
  }

  constexpr std::uint64_t value() const { return hash_; }

 private:
  constexpr fingerprint& add_word(char kind, std::uint64_t word) {
    add_byte(static_cast<unsigned char>(kind));
    for (int i = 0; i < 8; ++i) add_byte(word >> (8 * i) & 0xff);
    return *this;
  }
  constexpr void add_byte(std::uint64_t byte) { hash_ = (hash_ ^ byte) * 0x100000001b3u; }

  std::uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace rota
