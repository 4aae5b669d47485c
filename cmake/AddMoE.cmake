# What --version of every tool prints.
execute_process(
  COMMAND git -C ${PROJECT_SOURCE_DIR} rev-parse --short=12 HEAD
  OUTPUT_VARIABLE MOE_COMMIT
  OUTPUT_STRIP_TRAILING_WHITESPACE
  ERROR_QUIET
  RESULT_VARIABLE MOE_COMMIT_RESULT)
if(NOT MOE_COMMIT_RESULT EQUAL 0 OR MOE_COMMIT STREQUAL "")
  set(MOE_COMMIT unknown)
endif()

# add_moe_library(NAME source... DEPENDS tablegen-target...)
#
# A room of the compiler: an object library that becomes part of libMoE.so.
# Nothing links the rooms one by one, so there is one copy of every TypeID.
function(add_moe_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  add_library(${name} OBJECT ${ARG_UNPARSED_ARGUMENTS})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${name} PRIVATE
    ${PROJECT_SOURCE_DIR}/runtime/include ${PROJECT_SOURCE_DIR}/runtime/src)
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
  llvm_update_compile_flags(${name}) # -fno-exceptions, RTTI as LLVM has it
  set_property(GLOBAL APPEND PROPERTY MOE_LIBRARIES ${name})
endfunction()

# add_moe_tool(NAME source...)
#
# A tool that links libMoE.so alone: it brings the MLIR dylib. Any static MLIR
# archive here would be a second copy of MLIR in the process.
function(add_moe_tool name)
  set(sources ${ARGN})
  if(MOE_SANITIZED)
    list(APPEND sources ${PROJECT_SOURCE_DIR}/cmake/sanitizer_options.c)
  endif()
  add_llvm_executable(${name} PARTIAL_SOURCES_INTENDED ${sources})
  target_link_libraries(${name} PRIVATE MoE)
  target_compile_definitions(${name} PRIVATE
    MOE_VERSION="${PROJECT_VERSION}" MOE_COMMIT="${MOE_COMMIT}")
  set_target_properties(${name} PROPERTIES
    ENABLE_EXPORTS OFF
    INSTALL_RPATH "$ORIGIN/../lib;${LLVM_LIBRARY_DIR}")
  install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()
