#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <rota/cpu/eigen.hpp>
#include <rota/cpu/score.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>
#include <rota/score/reference.hpp>

#include "fixture.hpp"
#include "lines.hpp"

namespace {}
