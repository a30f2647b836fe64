#pragma once

// The CPU backend, whole. Link rota::cpu (threads); keep to one -march per program.

#include <rota/cpu/append.hpp>
#include <rota/cpu/attend.hpp>
#include <rota/cpu/backend.hpp>
#include <rota/cpu/lora.hpp>
#include <rota/cpu/normalize.hpp>
#include <rota/cpu/pack.hpp>
#include <rota/cpu/project.hpp>
#include <rota/cpu/read_select.hpp>
#include <rota/cpu/reroute.hpp>
#include <rota/cpu/score.hpp>
#include <rota/cpu/select.hpp>
#include <rota/cpu/thread_pool.hpp>
#include <rota/cpu/unpack.hpp>
