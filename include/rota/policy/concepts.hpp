#pragma once

#include <concepts>

#include <rota/core/fingerprint.hpp>
#include <rota/policy/context.hpp>
#include <rota/policy/refs.hpp>

// Policies are plain structs: a nominal tag `policy_kind`, a `params` struct and static functions.
// The concepts below are the structural half; diagnostics.hpp says in words what is missing.

namespace rota {

struct token_scorer_tag {};
struct group_scorer_tag {};
struct budget_tag {};
struct token_selector_tag {};
struct group_selector_tag {};
struct store_tag {};
struct fill_tag {};
struct projection_tag {};

template <class P, class Tag>
concept policy_of = requires {
  typename P::policy_kind;
}
&&std::same_as<typename P::policy_kind, Tag>&& requires {
  typename P::params;
};

/// score(params, token): one number from what the token itself holds.
template <class P>
concept pointwise_token_scorer = policy_of<P, token_scorer_tag> &&
    requires(const typename P::params& p, const token_ref& t) {
  { P::score(p, t) } -> std::same_as<float>;
};

/// A scorer that needs sums over all tokens of a head first (a mean, say):
/// `sums(params, d_k, d_v)` floats start at zero, `accumulate` adds one token to them,
/// `finish` turns them into what `score` reads. Partial sums are added elementwise.
template <class P>
concept reduced_token_scorer = policy_of<P, token_scorer_tag> &&
    requires(const typename P::params& p, const token_ref& t, float* sums, const float* done) {
  { P::sums(p, 1, 1) } -> std::convertible_to<index_t>;
  P::accumulate(p, t, sums);
  P::finish(p, t, sums);
  { P::score(p, t, done) } -> std::same_as<float>;
};

/// A stock scorer that each backend implements as a whole, because it needs a softmax over the
/// tokens or a matrix product. `using form = rota::whole_head;`.
struct whole_head {};

template <class P>
concept whole_head_scorer = (policy_of<P, token_scorer_tag> ||
                             policy_of<P, group_scorer_tag>)&&requires {
  typename P::form;
  requires std::same_as<typename P::form, whole_head>;
};

template <class P>
concept pointwise_group_scorer = policy_of<P, group_scorer_tag> &&
    requires(const typename P::params& p, const group_ref& g) {
  { P::score(p, g) } -> std::same_as<float>;
};

template <class P>
concept token_scorer = pointwise_token_scorer<P> || reduced_token_scorer<P> ||
    (whole_head_scorer<P>&& policy_of<P, token_scorer_tag>);

template <class P>
concept group_scorer = pointwise_group_scorer<P> ||
    (whole_head_scorer<P>&& policy_of<P, group_scorer_tag>);

/// Among what a budget ranks. A row is the least that a level ranks: at the group level one
/// token's groups, at the token level one head's tokens.
enum class budget_scope { row, head, layer, span };

namespace detail {

template <class B>
concept counts_items = requires(const typename B::params& p, index_t items) {
  { B::count(p, items) } -> std::convertible_to<index_t>;
};
template <class B>
concept counts_by_place = requires(const typename B::params& p, index_t items,
                                   const budget_place& at) {
  { B::count(p, items, at) } -> std::convertible_to<index_t>;
};

}  // namespace detail

/// A budget that keeps the best `count` of `items`, protected ones included. `count` may ask for
/// the place too, which layer and kv head of how many; its scope is then not span.
template <class B>
concept counting_budget = policy_of<B, budget_tag> && requires(const typename B::params& p) {
  { B::scope } -> std::convertible_to<budget_scope>;
  { B::check(p) } -> std::same_as<status>;
} &&(detail::counts_items<B> || detail::counts_by_place<B>);

/// A counting budget that spares each head: of the `count` items of a scope of `rows` heads, every
/// head keeps its own best `floor(params, count, rows)` first (protected ones included), the rest
/// goes to the best of what is left. For scopes above the head.
template <class B>
concept floored_budget = counting_budget<B> &&
    requires(const typename B::params& p, index_t count, index_t rows) {
  { B::floor(p, count, rows) } -> std::convertible_to<index_t>;
};

/// A budget that decides each item alone by a threshold: no future token is needed.
template <class B>
concept threshold_budget = policy_of<B, budget_tag> && requires(const typename B::params& p) {
  { B::check(p) } -> std::same_as<status>;
  { B::threshold(p) } -> std::same_as<float>;
};

/// A group budget that decides each token alone by the scores of its groups: of `n` <= max_groups
/// scores, best first and none of them NaN, it keeps the first `row_count`.
template <class B>
concept row_budget = policy_of<B, budget_tag> &&
    requires(const typename B::params& p, const float* descending, int n) {
  { B::check(p) } -> std::same_as<status>;
  { B::row_count(p, descending, n) } -> std::same_as<int>;
};

/// A group budget that keeps of each token a number of groups that depends on the token's type,
/// one of `types`.
template <class B>
concept typed_budget = policy_of<B, budget_tag> &&
    requires(const typename B::params& p, index_t items, int type) {
  { B::check(p) } -> std::same_as<status>;
  { B::types } -> std::convertible_to<int>;
  { B::count_of_type(p, items, type) } -> std::convertible_to<index_t>;
};

template <class B>
concept budget = counting_budget<B> || threshold_budget<B> || row_budget<B> || typed_budget<B>;

namespace detail {

/// The scope of a budget; of one that has none, whatever.
template <budget B>
consteval budget_scope scope_of() {
  if constexpr (counting_budget<B>)
    return B::scope;
  else
    return budget_scope::row;
}

/// The types of tokens that a budget tells apart; 0: it does not.
template <budget B>
consteval int types_of() {
  if constexpr (typed_budget<B>)
    return B::types;
  else
    return 0;
}

}  // namespace detail

/// Stands for a budget where a level keeps everything; it reads no scores.
struct keep_all {
  using policy_kind = budget_tag;
  struct params {};
};

/// What selection takes for a level.
template <class B>
concept level_budget = budget<B> || std::same_as<B, keep_all>;

/// Whether a level selects, and so reads scores.
template <level_budget B>
inline constexpr bool selects_by = !std::same_as<B, keep_all>;

/// What a counting budget keeps of `items` in a scope that lies `at`.
template <counting_budget B>
ROTA_HD index_t budget_count(const typename B::params& p, index_t items,
                             [[maybe_unused]] const budget_place& at) {
  if constexpr (detail::counts_by_place<B>)
    return B::count(p, items, at);
  else
    return B::count(p, items);
}

/// What a policy of any kind needs so that stores made with it can be saved: it adds its name and
/// whatever its params hold (contents, never addresses) to the fingerprint.
template <class P>
concept described_policy = requires(const typename P::params& p, fingerprint& f) {
  P::describe(p, f);
};

}  // namespace rota
