// Numbers as the results print them.
#pragma once

#include <string>

namespace rota_lm::results {

/// With that many decimals.
std::string fixed(double x, int places);

/// As short as it can be with six digits.
std::string short_number(double x);

/// 100 x with that many decimals; "-" where it is not finite.
std::string percent(double x, int places = 1);

/// What lies behind the third digit of a p-value is noise, and differs between compilers.
double three_digits(double p);

}  // namespace rota_lm::results
