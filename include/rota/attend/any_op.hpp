#pragma once

#include <concepts>
#include <utility>
#include <variant>

#include <rota/attend/attention.hpp>
#include <rota/store/any_store.hpp>

namespace rota {
namespace detail {

template <class Store, class... Seen>
struct append_unique;
template <class Store, class... Seen>
struct append_unique<Store, any_store<Seen...>> {
  static constexpr bool known = (std::is_same_v<Store, Seen> || ...);
  using type = std::conditional_t<known, any_store<Seen...>, any_store<Seen..., Store>>;
};

template <class Result, class... Stores>
struct unique_stores {
  using type = Result;
};
template <class Result, class First, class... Rest>
struct unique_stores<Result, First, Rest...> {
  using type = typename unique_stores<typename append_unique<First, Result>::type, Rest...>::type;
};

}  // namespace detail

/// One of several listed operators with its parameters, chosen at run time: an engine reads a
/// name from its configuration, sets the operator of each layer, and runs the same loop over all.
/// No heap, no virtual calls: the list is closed, so each call is a switch.
///
///   using ops = rota::any_op<careful, bold>;
///   ops layer = ops::of<bold>({.protect = {4, 16}});
///   ops::store_type store;
template <class... Ops>
class any_op {
  static_assert((Ops::layout::selects && ...),
                "rota: any_op compresses, so each of its operators needs packed<E, W> (without "
                "selectors it keeps everything); a dense or paged store goes into any_store as it "
                "is");
  template <class Op>
  struct configured {
    typename Op::params params;
  };

 public:
  /// A handle for whatever store the operators make.
  using store_type = typename detail::unique_stores<any_store<>, typename Ops::store_type...>::type;

  template <class Op>
  static any_op of(const typename Op::params& params) {
    any_op op;
    op.which_ = configured<Op>{params};
    return op;
  }

  /// Calls f.operator()<Op>(params) for the chosen operator.
  template <class F>
  decltype(auto) visit(F&& f) const {
    return std::visit(
        [&]<class Op>(const configured<Op>& c) -> decltype(auto) {
          return std::forward<F>(f).template operator()<Op>(c.params);
        },
        which_);
  }

  template <class Backend, class Context>
  std::size_t compress_workspace_bytes(const Backend& b, const Context& ctx) const {
    return visit([&]<class Op>(const typename Op::params& p) {
      return Op::compress_workspace_bytes(b, ctx, p);
    });
  }

  template <class Context>
  index_t max_store_bytes(const Context& ctx) const {
    return visit(
        [&]<class Op>(const typename Op::params& p) { return Op::max_store_bytes(ctx, p); });
  }

  /// Compresses into `memory` (aligned to record_alignment) and sets `store` to what is there.
  template <class Backend, class Context>
  status compress(const Backend& b, const Context& ctx, std::byte* memory, index_t bytes,
                  store_type& store, workspace ws) const {
    return visit([&]<class Op>(const typename Op::params& p) {
      typename Op::store_type made;
      made.data = memory;
      made.capacity_bytes = bytes;
      const status s = Op::compress(b, ctx, p, made, ws);
      if (s.ok()) store = made;
      return s;
    });
  }

  /// As the operator's own; bad_store where `from` is not what the chosen operator makes.
  template <class Backend, class Context>
  std::size_t reroute_workspace_bytes(const Backend& b, const store_type& from,
                                      const Context& parts) const {
    return visit([&]<class Op>(const typename Op::params& p) -> std::size_t {
      const auto* own = from.template get_if<typename Op::store_type>();
      return own == nullptr ? 0 : Op::reroute_workspace_bytes(b, *own, parts, p);
    });
  }

  /// Selects again among all that `from` holds and packs it into `memory`, as compress() does.
  template <class Backend, class Context>
  status reroute(const Backend& b, const store_type& from, const Context& parts, std::byte* memory,
                 index_t bytes, store_type& store, workspace ws) const {
    return visit([&]<class Op>(const typename Op::params& p) -> status {
      const auto* own = from.template get_if<typename Op::store_type>();
      if (own == nullptr) return {errc::bad_store, "from"};
      typename Op::store_type made;
      made.data = memory;
      made.capacity_bytes = bytes;
      const status s = Op::reroute(b, *own, parts, p, made, ws);
      if (s.ok()) store = made;
      return s;
    });
  }

  /// The same under a cap; see attention::reroute_within().
  template <class Backend, class Context>
  std::size_t reroute_within_workspace_bytes(const Backend& b, const store_type& from,
                                             const Context& parts, index_t cap_bytes) const {
    return visit([&]<class Op>(const typename Op::params& p) -> std::size_t {
      const auto* own = from.template get_if<typename Op::store_type>();
      if (own == nullptr) return 0;
      return Op::reroute_within_workspace_bytes(b, *own, parts, p, cap_bytes);
    });
  }
  template <class Backend, class Context>
  status reroute_within(const Backend& b, const store_type& from, const Context& parts,
                        index_t cap_bytes, std::byte* memory, index_t bytes, store_type& store,
                        workspace ws) const {
    return visit([&]<class Op>(const typename Op::params& p) -> status {
      const auto* own = from.template get_if<typename Op::store_type>();
      if (own == nullptr) return {errc::bad_store, "from"};
      typename Op::store_type made;
      made.data = memory;
      made.capacity_bytes = bytes;
      const status s = Op::reroute_within(b, *own, parts, p, cap_bytes, made, ws);
      if (s.ok()) store = made;
      return s;
    });
  }

 private:
  std::variant<configured<Ops>...> which_;
};

/// Appends to whichever store is there.
template <class Backend, kv_store... Stores, class From>
status append(const Backend& b, any_store<Stores...>& store, view<From, 3> k, view<From, 3> v) {
  using rows = view<const std::remove_const_t<From>, 3>;
  return store.visit([&](auto& s) { return seam::appending(b, s, rows(k), rows(v)); });
}

/// Takes the last n tokens back from whichever store is there.
template <class Backend, kv_store... Stores>
status roll_back(const Backend& b, any_store<Stores...>& store, index_t n) {
  return store.visit([&](auto& s) { return seam::rolling_back(b, s, n); });
}

/// Attention of one sequence over whichever store is there; shapes as in attend_item.
template <class Backend, class Query, element Io, kv_store... Stores>
requires std::same_as<std::remove_const_t<Query>, Io> std::size_t attend_workspace_bytes(
    const Backend& b, view<Query, 3> q, const any_store<Stores...>& store, view<Io, 3> out,
    view<float, 2> lse, const attend_params& p) {
  return store.visit([&]<class Store>(const Store& s) {
    const attend_item<Store, Io> item{q, &s, out, lse};
    return seam::attending_bytes(b, std::span<const attend_item<Store, Io>>(&item, 1), p);
  });
}
template <class Backend, class Query, element Io, kv_store... Stores>
requires std::same_as<std::remove_const_t<Query>, Io> status
attend(const Backend& b, view<Query, 3> q, const any_store<Stores...>& store, view<Io, 3> out,
       view<float, 2> lse, const attend_params& p, workspace ws) {
  return store.visit([&]<class Store>(const Store& s) {
    const attend_item<Store, Io> item{q, &s, out, lse};
    return seam::attending(b, std::span<const attend_item<Store, Io>>(&item, 1), p, ws);
  });
}

}  // namespace rota
