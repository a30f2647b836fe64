// Two translation units include everything and use the same templates; what they find is equal.
#include <cstdio>

#include "consumer/one_step.hpp"

float first_component_of_b();

int main() {
  const float a = one_step(), b = first_component_of_b();
  if (a == b) return 0;  // NaN, a refusal, is not
  std::printf("a %f, b %f\n", static_cast<double>(a), static_cast<double>(b));
  return 1;
}
