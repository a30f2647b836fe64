#pragma once

#include <concepts>
#include <cstdint>

#include <rota/core/element.hpp>

// How a store writes keys and values down. An element is a codec by itself; int8 needs scales
// beside it; kv_codec<K, V> chooses for keys and values apart.

namespace rota {

/// A signed byte whose value is bits * scale. A key has one scale; a value has one for each of its
/// groups (a whole row where the store has no groups). Storage only; arithmetic is done in float.
struct int8 {
  std::int8_t bits = 0;
};

/// The scales of int8 lie beside it as bf16: their range is a float's, and quantize_row() rounds
/// with the scale as it is stored.
using scale_type = bf16;

/// Keys stored as K, values as V: elements, or int8.
template <class K, class V>
struct kv_codec {};

/// Bytes of what a codec stores. 0 for scales: there are none.
struct codec_sizes {
  std::uint8_t key = 0;    ///< of an element of a key
  std::uint8_t value = 0;  ///< of an element of a value
  std::uint8_t code = 0;   ///< of an element of a low-rank code and its decoder
  std::uint8_t key_scale = 0;
  std::uint8_t value_scale = 0;

  friend constexpr bool operator==(const codec_sizes&, const codec_sizes&) = default;
};

namespace detail {

template <class T>
inline constexpr bool is_stored = element<T> || std::same_as<T, int8>;
template <class T>
inline constexpr bool is_scaled = std::same_as<T, int8>;

template <class T>
inline constexpr std::uint8_t stored_code = 0;
template <element T>
inline constexpr std::uint8_t stored_code<T> = element_traits<T>::code;
template <>
inline constexpr std::uint8_t stored_code<int8> = 4;

template <class T>
inline constexpr const char* stored_name = "int8";
template <element T>
inline constexpr const char* stored_name<T> = element_traits<T>::name;

template <class K, class V>
inline constexpr codec_sizes sizes_of_pair{sizeof(K), sizeof(V), sizeof(bf16),
                                           is_scaled<K> ? sizeof(scale_type) : 0,
                                           is_scaled<V> ? sizeof(scale_type) : 0};

}  // namespace detail

/// What is known of a codec at compile time: key_type and value_type, as they lie in memory;
/// code_type, of low-rank codes; plain_type, what rows become when they are unpacked; its name, and
/// the number that is written into stores.
template <class C>
struct codec_traits;

template <element E>
struct codec_traits<E> {
  using key_type = E;
  using value_type = E;
  using code_type = E;
  using plain_type = E;
  static constexpr std::uint8_t code = element_traits<E>::code;
  static constexpr const char* key_name = element_traits<E>::name;
  static constexpr const char* value_name = key_name;
  static constexpr codec_sizes sizes{sizeof(E), sizeof(E), sizeof(E), 0, 0};
};

template <class K, class V>
requires(detail::is_stored<K>&& detail::is_stored<V>) struct codec_traits<kv_codec<K, V>> {
  using key_type = K;
  using value_type = V;
  using code_type = bf16;
  using plain_type = float;
  static constexpr auto code =
      static_cast<std::uint8_t>(detail::stored_code<K> << 4 | detail::stored_code<V>);
  static constexpr const char* key_name = detail::stored_name<K>;
  static constexpr const char* value_name = detail::stored_name<V>;
  static constexpr codec_sizes sizes = detail::sizes_of_pair<K, V>;
};

/// Both keys and values.
template <>
struct codec_traits<int8> : codec_traits<kv_codec<int8, int8>> {};

/// f32, bf16, f16, int8, kv_codec<K, V>.
template <class C>
concept codec = requires {
  codec_traits<C>::code;
};

template <codec C>
using key_type_of = typename codec_traits<C>::key_type;
template <codec C>
using value_type_of = typename codec_traits<C>::value_type;
template <codec C>
using code_type_of = typename codec_traits<C>::code_type;
template <codec C>
using plain_type_of = typename codec_traits<C>::plain_type;

namespace detail {

/// f(sizes) for the codec that a store's number stands for; false for a number of none.
template <class F>
bool with_codec_sizes(std::uint8_t code, F&& f) {
  const auto attempt = [&]<class C>() {
    if (code != codec_traits<C>::code) return false;
    f(codec_traits<C>::sizes);
    return true;
  };
  const auto pairs_with = [&]<class K>() {
    return attempt.template operator()<kv_codec<K, f32>>() ||
           attempt.template operator()<kv_codec<K, bf16>>() ||
           attempt.template operator()<kv_codec<K, f16>>() ||
           attempt.template operator()<kv_codec<K, int8>>();
  };
  return attempt.template operator()<f32>() || attempt.template operator()<bf16>() ||
         attempt.template operator()<f16>() || pairs_with.template operator()<f32>() ||
         pairs_with.template operator()<bf16>() || pairs_with.template operator()<f16>() ||
         pairs_with.template operator()<int8>();
}

}  // namespace detail
}  // namespace rota
