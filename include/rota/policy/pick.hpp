#pragma once

#include <type_traits>

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

}  // namespace rota::detail
