#pragma once

#include <type_traits>

#include <rota/policy/diagnostics.hpp>

namespace rota::detail {

/// The policy of one kind in an order-free pack, or a default when there is none.
template <class Tag, class Default, class... Policies>
struct pick {
  using type = Default;
};

template <class Tag, class Default, class First, class... Rest>
struct pick<Tag, Default, First, Rest...> {
  static constexpr bool matches = std::is_same_v<typename First::policy_kind, Tag>;
  using type = typename std::conditional_t<matches, std::type_identity<First>,
                                           pick<Tag, Default, Rest...>>::type;
};

template <class Tag, class... Policies>
inline constexpr int count_kind = (0 + ... + std::is_same_v<typename Policies::policy_kind, Tag>);

template <class P>
concept known_kind = has_kind<P> &&(std::is_same_v<typename P::policy_kind, token_selector_tag> ||
                                    std::is_same_v<typename P::policy_kind, group_selector_tag> ||
                                    std::is_same_v<typename P::policy_kind, store_tag> ||
                                    std::is_same_v<typename P::policy_kind, fill_tag> ||
                                    std::is_same_v<typename P::policy_kind, projection_tag>);

/// Says in words what is wrong with a pack of policies, before anything else fails.
template <class... Policies>
consteval bool require_pack() {
  static_assert((known_kind<Policies> && ...),
                "rota: attention<...> takes token selectors (tokens<Scorer, Budget>), group "
                "selectors (groups<Scorer, Budget>), stores (dense, paged, packed), fills and "
                "projections");
  if constexpr ((known_kind<Policies> && ...)) {
    static_assert(count_kind<token_selector_tag, Policies...> <= 1,
                  "rota: attention<...> has two token selectors; it takes one");
    static_assert(count_kind<group_selector_tag, Policies...> <= 1,
                  "rota: attention<...> has two group selectors; it takes one");
    static_assert(count_kind<store_tag, Policies...> <= 1,
                  "rota: attention<...> has two stores; it takes one");
    static_assert(count_kind<fill_tag, Policies...> <= 1,
                  "rota: attention<...> has two fills; it takes one");
    static_assert(count_kind<projection_tag, Policies...> <= 1,
                  "rota: attention<...> has two projections; it takes one");
  }
  return true;
}

}  // namespace rota::detail
