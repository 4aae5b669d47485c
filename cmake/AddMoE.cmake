# add_moe_library(NAME source... DEPENDS tablegen-target...)
#
# A room of the compiler: an object library that becomes part of libMoE.so.
# Nothing links the rooms one by one, so there is one copy of every TypeID.
function(add_moe_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  set(sources)
  foreach(source ${ARG_UNPARSED_ARGUMENTS})
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${source})
      list(APPEND sources ${source})
    endif()
  endforeach()
  add_library(${name} OBJECT ${sources})
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
  add_llvm_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE MoE)
  set_target_properties(${name} PROPERTIES ENABLE_EXPORTS OFF)
endfunction()
