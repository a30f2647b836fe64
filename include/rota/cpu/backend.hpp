#pragma once

#include <rota/core/types.hpp>

namespace rota::cpu {

/// The hook through which operators run on several threads. An engine points it at its own pool;
/// the default runs everything on the calling thread.
struct executor {
  /// Work item i of a call, run by worker 0 .. threads - 1. Two items never share a worker at once.
  using task = void (*)(void* context, index_t i, int worker);

  /// Runs task(context, i, worker) once for each i in [0, count), in any order, and returns when
  /// all are done.
  void (*run)(void* self, index_t count, task t, void* context) = [](void*, index_t count, task t,
                                                                     void* context) {
    for (index_t i = 0; i < count; ++i) t(context, i, 0);
  };
  void* self = nullptr;
  int threads = 1;
};

/// First argument of every operator on the CPU. Results do not depend on the executor, bit for
/// bit.
struct backend {
  executor exec;
};

/// What every operator on the CPU asks of its first argument.
inline status check_backend(const backend& b) {
  if (b.exec.run == nullptr) return {errc::null_view, "backend"};
  if (b.exec.threads < 1) return {errc::bad_count, "backend"};
  return {};
}

/// What compress() checks first.
template <class Context>
status check_context_of(const backend&, const Context& ctx) {
  return check_context(ctx);
}

/// Calls f(i, worker) for each i in [0, count) on the backend's threads.
template <class F>
void parallel_for(const backend& b, index_t count, F&& f) {
  if (count <= 0) return;
  b.exec.run(
      b.exec.self, count,
      [](void* context, index_t i, int worker) {
        (*static_cast<std::remove_reference_t<F>*>(context))(i, worker);
      },
      const_cast<void*>(static_cast<const void*>(&f)));
}

}  // namespace rota::cpu
