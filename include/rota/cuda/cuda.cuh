#pragma once

// Everything for NVIDIA GPUs: operators on a stream of the caller's. For .cu files.
//
// In a .cu file, name `rota::cuda` in full: after `using namespace rota;` the compiler's own
// headers no longer know which `cuda` they mean.

#include <rota/cuda/append.cuh>
#include <rota/cuda/attend.cuh>
#include <rota/cuda/fit_ratio.cuh>
#include <rota/cuda/lora.cuh>
#include <rota/cuda/merge.cuh>
#include <rota/cuda/normalize.cuh>
#include <rota/cuda/pack.cuh>
#include <rota/cuda/read_select.cuh>
#include <rota/cuda/reroute.cuh>
#include <rota/cuda/score.cuh>
#include <rota/cuda/select.cuh>
#include <rota/cuda/store/host_form.cuh>
