// A program that needs rota::cpu.
#include <cstdio>

#include "one_step.hpp"

int main() {
  const float first = one_step();
  std::printf("first component %f\n", static_cast<double>(first));
  return first == first ? 0 : 1;
}
