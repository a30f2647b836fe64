#pragma once

// What is compiled once for each instruction set, and how the rest of a program sees it: as a table
// of functions. Rota's types may cross, for their layouts do not depend on the instruction set.

#include <cstddef>
#include <span>

#include <rota/cpu/backend.hpp>
#include <rota/rota.hpp>

namespace dispatch {

using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                           rota::groups<rota::value_norm, rota::keep_ratio>,
                           rota::packed<rota::bf16, 16>, rota::mean_fill>;
using store_type = op::store_type;
using item = rota::attend_item<store_type>;

// kernels: begin
/// One variant. A constant: nothing of a variant may run before main() has looked at the machine.
struct kernels {
  const char* isa;  ///< what Rota calls the instruction set
  std::size_t (*attend_workspace_bytes)(const rota::cpu::backend&, std::span<const item>,
                                        const rota::attend_params&);
  rota::status (*attend)(const rota::cpu::backend&, std::span<const item>,
                         const rota::attend_params&, rota::workspace);
};
// kernels: end

}  // namespace dispatch
