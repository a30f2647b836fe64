#pragma once

// The one place that states the version: CMake reads these three lines too.
#define ROTA_VERSION_MAJOR 0
#define ROTA_VERSION_MINOR 1
#define ROTA_VERSION_PATCH 0
