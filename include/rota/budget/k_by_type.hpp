#pragma once

#include <array>

#include <rota/policy/concepts.hpp>

namespace rota {

/// Keeps k_m groups of each token of type m: instructions, examples, questions, or whatever the
/// caller tells apart in select_problem::types (the follow-up of arXiv 2604.21335, 2608.18410,
/// gives each type a budget of its own). Without types every token is of type 0. Protected tokens
/// keep all groups.
///
/// Errors: bad_count of "groups" for a negative k; bad_parameter of "types" for a type that is not
/// one of the `Types`.
template <int Types>
struct k_by_type {
  static_assert(Types >= 1 && Types <= 256, "rota: k_by_type has 1 to 256 types of tokens");
  using policy_kind = budget_tag;
  struct params {
    std::array<index_t, Types> k{};  ///< groups kept, by type
  };
  static constexpr int types = Types;

  static void describe(const params& p, fingerprint& f) {
    f.add("k_by_type").add(index_t{Types});
    for (const index_t k : p.k) f.add(k);
  }
  ROTA_HD static status check(const params& p) {
    for (int type = 0; type < types; ++type)
      if (plain(p)[type] < 0) return {errc::bad_count, "k"};
    return {};
  }
  /// Of the `items` groups of a token.
  ROTA_HD static index_t count_of_type(const params& p, index_t items, int type) {
    const index_t k = plain(p)[type];
    return k < items ? k : items;
  }

 private:
  /// Device code may not call an array's functions; its first member is the plain array.
  ROTA_HD static const index_t* plain(const params& p) {
    return reinterpret_cast<const index_t*>(&p.k);
  }
};

}  // namespace rota
