#pragma once

namespace rota::cpu {

/// What stands in for dropped groups while training; train_fill says how each is computed.
enum class fill_kind { zero, mean, low_rank };

}  // namespace rota::cpu
