// Compiled once for each instruction set; KERNELS is the name of this variant's table.

#include "kernels.hpp"

#include <rota/cpu/cpu.hpp>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

extern "C" {
extern const dispatch::kernels KERNELS;
const dispatch::kernels KERNELS = {
    TEXT(ROTA_CPU_ISA),
    [](const rota::cpu::backend& b, std::span<const dispatch::item> batch,
       const rota::attend_params& params) {
      return dispatch::op::attend_workspace_bytes(b, batch, params);
    },
    [](const rota::cpu::backend& b, std::span<const dispatch::item> batch,
       const rota::attend_params& params,
       rota::workspace ws) { return dispatch::op::attend(b, batch, params, ws); }};
}
