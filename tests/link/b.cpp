#include "consumer/one_step.hpp"

float first_component_of_b();
float first_component_of_b() {
  return one_step();
}
