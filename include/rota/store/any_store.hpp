#pragma once

#include <utility>
#include <variant>

#include <rota/store/block.hpp>

namespace rota {

/// One of several listed stores, chosen at run time: what an engine keeps per layer when layers
/// differ. No heap: the handle is as large as the largest of them.
template <kv_store... Stores>
class any_store {
 public:
  any_store() = default;
  template <class S>
  requires(std::is_same_v<S, Stores> || ...) any_store(const S& store)
      : which_(store) {}  // NOLINT: implicit as a variant's is

  /// Calls f(store) with the store that is there.
  template <class F>
  decltype(auto) visit(F&& f) {
    return std::visit(std::forward<F>(f), which_);
  }
  template <class F>
  decltype(auto) visit(F&& f) const {
    return std::visit(std::forward<F>(f), which_);
  }

  /// The store if it is an S, else null.
  template <class S>
  S* get_if() {
    return std::get_if<S>(&which_);
  }
  template <class S>
  const S* get_if() const {
    return std::get_if<S>(&which_);
  }

  index_t bytes() const {
    return visit([](const auto& s) { return s.bytes(); });
  }
  position_t next_position() const {
    return visit([](const auto& s) { return s.next_position(); });
  }

 private:
  std::variant<Stores...> which_;
};

}  // namespace rota
