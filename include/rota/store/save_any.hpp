#pragma once

#include <rota/store/any_store.hpp>
#include <rota/store/save.hpp>

// Saving and restoring a store whose type is known at run time only.

namespace rota {
namespace detail {

/// Calls f.operator()<S>() for one packed S after the other, until one says something else than
/// that the saved bytes are no S.
template <class Any>
struct each_packed;
template <kv_store... Stores>
struct each_packed<any_store<Stores...>> {
  template <class F>
  static status first(F&& f) {
    status s{errc::bad_store, "saved"};
    const auto attempt = [&]<class Store>() {
      if constexpr (is_packed<Store>)
        if (s == errc::bad_store) s = f.template operator()<Store>();
    };
    (attempt.template operator()<Stores>(), ...);
    return s;
  }
};

}  // namespace detail

/// As saved_bytes() of the store that is there; 0 when it is not a packed one.
template <kv_store... Stores>
index_t saved_bytes(const any_store<Stores...>& store) {
  return store.visit([]<class Store>(const Store& s) -> index_t {
    if constexpr (detail::is_packed<Store>)
      return saved_bytes(s);
    else
      return 0;
  });
}

/// As save() of the store that is there; bad_store ("store") when it is not a packed one.
template <kv_store... Stores>
status save(const any_store<Stores...>& store, const saved_identity& identity,
            std::span<std::byte> memory) {
  return store.visit([&]<class Store>(const Store& s) -> status {
    if constexpr (detail::is_packed<Store>)
      return save(s, identity, memory);
    else
      return {errc::bad_store, "store"};
  });
}

/// As restored_bytes() of whichever of the stores listed by `Any` is saved; bad_store when it is
/// none of them.
template <class Any>
requires requires {
  detail::each_packed<Any>{};
}
status restored_bytes(std::span<const std::byte> saved, index_t tail_capacity, index_t& bytes) {
  return detail::each_packed<Any>::first(
      [&]<class Store>() { return restored_bytes<Store>(saved, tail_capacity, bytes); });
}

/// As restore() into `memory`, of whichever of the listed stores is saved; sets `to` to it.
template <kv_store... Stores>
status restore(std::span<const std::byte> saved, const saved_identity& expected,
               index_t tail_capacity, std::span<std::byte> memory, any_store<Stores...>& to) {
  return detail::each_packed<any_store<Stores...>>::first([&]<class Store>() {
    Store made;
    made.data = memory.data();
    made.capacity_bytes = static_cast<index_t>(memory.size());
    const status s = restore(saved, expected, tail_capacity, made);
    if (s.ok()) to = made;
    return s;
  });
}

}  // namespace rota
