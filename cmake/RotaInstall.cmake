# Install rules and the package that find_package(rota) reads.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/rota)

install(DIRECTORY include/rota DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING
        PATTERN "*.hpp" PATTERN "*.cuh")

# One export a target: the package loads rota::cpu and rota::train only where their dependencies are.
set_target_properties(rota_cuda PROPERTIES EXPORT_NAME cuda)
install(TARGETS rota rota_cuda EXPORT rota-targets)
install(EXPORT rota-targets NAMESPACE rota:: DESTINATION ${package_dir})
if(TARGET rota_cpu)
  set_target_properties(rota_cpu PROPERTIES EXPORT_NAME cpu)
  install(TARGETS rota_cpu EXPORT rota-cpu-targets)
  install(EXPORT rota-cpu-targets NAMESPACE rota:: DESTINATION ${package_dir})
endif()

if(TARGET rota_train)
  set_target_properties(rota_train PROPERTIES EXPORT_NAME train)
  install(TARGETS rota_train EXPORT rota-train-targets)
  install(EXPORT rota-train-targets NAMESPACE rota:: DESTINATION ${package_dir})
endif()

write_basic_package_version_file(rota-config-version.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES cmake/rota-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/rota-config-version.cmake
        DESTINATION ${package_dir})
