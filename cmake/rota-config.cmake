# find_package(rota)                 rota::rota, and rota::cpu where Eigen and Threads are found
# find_package(rota COMPONENTS cpu)  the same, and not found without rota::cpu
include(${CMAKE_CURRENT_LIST_DIR}/rota-targets.cmake)

set(rota_cpu_FOUND FALSE)
if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/rota-cpu-targets.cmake)
  if(NOT TARGET Eigen3::Eigen)
    find_package(Eigen3 3.3 QUIET NO_MODULE)
  endif()
  find_package(Threads QUIET)
  if(TARGET Eigen3::Eigen AND TARGET Threads::Threads)
    include(${CMAKE_CURRENT_LIST_DIR}/rota-cpu-targets.cmake)
    set(rota_cpu_FOUND TRUE)
  endif()
endif()

foreach(component IN LISTS rota_FIND_COMPONENTS)
  if(rota_FIND_REQUIRED_${component} AND NOT rota_${component}_FOUND)
    set(rota_FOUND FALSE)
    set(rota_NOT_FOUND_MESSAGE "rota: component ${component} is not available (cpu needs Eigen3 and Threads)")
  endif()
endforeach()
