//===- manifest.c - What is in a compiled module --------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "manifest.h"
#include "alloc.h"
#include "sha256.h"
#include "sort.h"
#include <elf.h>
#include <string.h>

// Longest string, and most bytes of all strings: many could share their bytes.
enum { kMaxString = 4096 };
static const uint64_t kMaxStrings = (uint64_t)256 << 20;
// Most notes looked at; a linker makes three or four.
enum { kMaxNotes = 4096 };

static bool inside(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

static moe_rt_status refuse(moe_error *error, const char *name,
                            const char *why) {
  return moe_fail(error, MOE_RT_BAD_FILE, "%s: %s", MOE_QP(name), why);
}

static moe_rt_status damaged(moe_error *error, const char *name,
                             const char *what, size_t index, const char *why) {
  return moe_fail(error, MOE_RT_BAD_FILE, "%s: manifest is damaged: %s %zu: %s",
                  MOE_QP(name), what, index, why);
}

//===----------------------------------------------------------------------===//
// The note in the file
//===----------------------------------------------------------------------===//

static moe_rt_status find_note(const uint8_t *file, size_t size,
                               const char *name, uint64_t *offset,
                               uint64_t *length, moe_error *error) {
  Elf64_Ehdr eh;
  if (size < sizeof(eh) || memcmp(file, ELFMAG, SELFMAG))
    return refuse(error, name, "not a compiled module: not an ELF file");
  memcpy(&eh, file, sizeof(eh));
  if (eh.e_ident[EI_CLASS] != ELFCLASS64 ||
      eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_machine != EM_X86_64 ||
      eh.e_type != ET_DYN)
    return refuse(error, name,
                  "not a compiled module: not an x86-64 shared object");
  if (eh.e_phentsize != sizeof(Elf64_Phdr) ||
      !inside(eh.e_phoff, (uint64_t)eh.e_phnum * sizeof(Elf64_Phdr), size))
    return refuse(error, name, "program headers lie outside the file");
  unsigned num_notes = 0;
  for (unsigned i = 0; i < eh.e_phnum; i++) {
    Elf64_Phdr ph;
    memcpy(&ph, file + eh.e_phoff + i * sizeof(ph), sizeof(ph));
    if (ph.p_type != PT_NOTE)
      continue;
    if (!inside(ph.p_offset, ph.p_filesz, size))
      return refuse(error, name, "a note segment lies outside the file");
    uint64_t at = ph.p_offset, end = at + ph.p_filesz;
    while (end - at >= sizeof(Elf64_Nhdr)) {
      Elf64_Nhdr nh;
      if (++num_notes > kMaxNotes)
        return refuse(error, name, "too many notes");
      memcpy(&nh, file + at, sizeof(nh));
      at += sizeof(nh);
      uint64_t owner = ((uint64_t)nh.n_namesz + 3) & ~3ull;
      uint64_t descriptor = ((uint64_t)nh.n_descsz + 3) & ~3ull;
      if (owner > end - at || descriptor > end - at - owner)
        return refuse(error, name, "a note is longer than its segment");
      if (nh.n_type == MOE_ABI_NOTE_TYPE &&
          nh.n_namesz == sizeof(MOE_ABI_NOTE_OWNER) &&
          !memcmp(file + at, MOE_ABI_NOTE_OWNER, sizeof(MOE_ABI_NOTE_OWNER))) {
        *offset = at + owner;
        *length = nh.n_descsz;
        return MOE_RT_OK;
      }
      at += owner + descriptor;
    }
  }
  return refuse(error, name,
                "no manifest: not made by moe-compile, or stripped");
}

// Of a file in which find_note() found one.
static bool is_program(const uint8_t *file) {
  Elf64_Ehdr eh;
  memcpy(&eh, file, sizeof(eh));
  for (unsigned i = 0; i < eh.e_phnum; i++) {
    Elf64_Phdr ph;
    memcpy(&ph, file + eh.e_phoff + i * sizeof(ph), sizeof(ph));
    if (ph.p_type == PT_INTERP)
      return true;
  }
  return false;
}

// The part that stays the same in every ABI.
typedef struct {
  uint64_t magic;
  uint32_t abi_major, abi_minor;
  uint64_t manifest_size, file_size;
  uint8_t sha256[32];
} note_prefix;

static void hash_file(const uint8_t *file, size_t size, uint64_t note,
                      uint8_t digest[32]) {
  static const uint8_t zero[8 + 32] = {0}; // file_size and sha256, neighbours
  size_t hole = (size_t)note + offsetof(note_prefix, file_size);
  moe_sha256_state s;
  moe_sha256_start(&s);
  moe_sha256_add(&s, file, hole);
  moe_sha256_add(&s, zero, sizeof(zero));
  moe_sha256_add(&s, file + hole + sizeof(zero), size - hole - sizeof(zero));
  moe_sha256_end(&s, digest);
}

static moe_rt_status check_whole(const uint8_t *file, size_t size,
                                 const char *name, uint64_t *offset,
                                 uint64_t *length, moe_error *error) {
  moe_rt_status status = find_note(file, size, name, offset, length, error);
  if (status)
    return status;
  note_prefix prefix;
  if (*length < sizeof(prefix))
    return refuse(error, name, "manifest is too short");
  memcpy(&prefix, file + *offset, sizeof(prefix));
  if (prefix.magic != MOE_ABI_MAGIC || prefix.manifest_size != *length)
    return refuse(error, name, "manifest is damaged");
  if (prefix.file_size != size)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: is %zu bytes long, expected %llu: truncated or "
                    "appended to",
                    MOE_QP(name), size, (unsigned long long)prefix.file_size);
  uint8_t digest[32];
  hash_file(file, size, *offset, digest);
  if (memcmp(digest, prefix.sha256, sizeof(digest)))
    return refuse(error, name, "hash does not match: the file was changed");
  if (prefix.abi_major != MOE_ABI_MAJOR || prefix.abi_minor > MOE_ABI_MINOR)
    return moe_fail(error, MOE_RT_INCOMPATIBLE,
                    "%s: made for ABI %u.%u, this runtime has %u.%u; compile "
                    "it again",
                    MOE_QP(name), prefix.abi_major, prefix.abi_minor,
                    MOE_ABI_MAJOR, MOE_ABI_MINOR);
  if (*length < sizeof(moe_abi_manifest))
    return refuse(error, name, "manifest is too short");
  return MOE_RT_OK;
}

moe_rt_status moe_manifest_seal(uint8_t *bytes, size_t size, const char *name,
                                moe_error *error) {
  uint64_t offset, length;
  moe_rt_status status = find_note(bytes, size, name, &offset, &length, error);
  if (status)
    return status;
  if (length < sizeof(note_prefix))
    return refuse(error, name, "manifest is too short");
  uint8_t digest[32];
  hash_file(bytes, size, offset, digest);
  uint64_t file_size = size;
  memcpy(bytes + offset + offsetof(note_prefix, file_size), &file_size, 8);
  memcpy(bytes + offset + offsetof(note_prefix, sha256), digest, 32);
  return MOE_RT_OK;
}

//===----------------------------------------------------------------------===//
// Copying
//===----------------------------------------------------------------------===//

typedef struct {
  const uint8_t *note;
  uint64_t size;
  const char *name;
  moe_manifest *manifest;
  size_t strings_used;
  moe_error *error;
} reader;

static moe_rt_status read_table(reader *r, moe_abi_table table,
                                size_t element_size, uint32_t most,
                                const char *what, void *result) {
  if (table.count > most ||
      !inside(table.offset, (uint64_t)table.count * element_size, r->size))
    return moe_fail(r->error, MOE_RT_BAD_FILE,
                    "%s: manifest is damaged: table of %s lies outside",
                    MOE_QP(r->name), what);
  void *copy = moe_zalloc(table.count, element_size);
  if (!copy)
    return moe_fail_memory(r->error, r->name);
  if (table.count)
    memcpy(copy, r->note + table.offset, table.count * element_size);
  memcpy(result, &copy, sizeof(copy));
  return MOE_RT_OK;
}

static moe_rt_status check_string(reader *r, moe_abi_string string,
                                  uint64_t *total) {
  bool good =
      inside(string.offset, string.size, r->size) && string.size <= kMaxString;
  const char *bytes = (const char *)r->note + string.offset;
  for (uint32_t i = 0; good && i < string.size;) {
    size_t length = moe_utf8_length(bytes + i, string.size - i);
    good = length > 0 && bytes[i] != 0;
    i += (uint32_t)length;
  }
  *total += (uint64_t)string.size + 1;
  if (!good || *total > kMaxStrings)
    return refuse(r->error, r->name,
                  "manifest is damaged: a string is not text inside it");
  return MOE_RT_OK;
}

static const char *copy_string(reader *r, moe_abi_string string) {
  char *copy = r->manifest->strings + r->strings_used;
  memcpy(copy, r->note + string.offset, string.size);
  copy[string.size] = 0;
  r->strings_used += (size_t)string.size + 1;
  return copy;
}

// Visits every string, to check it or to copy it.
static moe_rt_status each_string(reader *r, const moe_abi_string *symbols,
                                 bool copy, uint64_t *total) {
  moe_manifest *m = r->manifest;
  const moe_abi_manifest *h = &m->header;
  moe_rt_status status = MOE_RT_OK;
#define VISIT(field, string)                                                   \
  do {                                                                         \
    if (copy)                                                                  \
      (field) = copy_string(r, (string));                                      \
    else if ((status = check_string(r, (string), total)))                      \
      return status;                                                           \
  } while (0)
  VISIT(m->target, h->target);
  VISIT(m->compiler, h->compiler);
  VISIT(m->model, h->model);
  for (uint32_t i = 0; i < h->symbols.count; i++)
    VISIT(m->symbols[i], symbols[i]);
  for (uint32_t i = 0; i < h->functions.count; i++)
    VISIT(m->function_names[i], m->functions[i].name);
  for (uint32_t i = 0; i < h->arguments.count; i++)
    VISIT(m->argument_names[i], m->arguments[i].name);
  for (uint32_t i = 0; i < h->params.count; i++) {
    VISIT(m->param_names[i], m->params[i].name);
    VISIT(m->param_layouts[2 * i], m->params[i].layout[0]);
    VISIT(m->param_layouts[2 * i + 1], m->params[i].layout[1]);
  }
  for (uint32_t i = 0; i < h->sources.count; i++)
    VISIT(m->source_names[i], m->sources[i].tensor);
  for (uint32_t i = 0; i < h->devices.count; i++)
    VISIT(m->device_names[i], m->devices[i].name);
  for (uint32_t i = 0; i < h->kernels.count; i++)
    VISIT(m->kernel_names[i], m->kernels[i].name);
#undef VISIT
  return status;
}

static moe_rt_status read_all(reader *r) {
  moe_manifest *m = r->manifest;
  memcpy(&m->header, r->note, sizeof(m->header));
  const moe_abi_manifest *h = &m->header;
  moe_abi_symbol *symbols = NULL;
  moe_rt_status status;
  if ((status = read_table(r, h->functions, sizeof(*m->functions), UINT32_MAX,
                           "functions", &m->functions)) ||
      (status = read_table(r, h->arguments, sizeof(*m->arguments), UINT32_MAX,
                           "arguments", &m->arguments)) ||
      (status = read_table(r, h->params, sizeof(*m->params), UINT32_MAX,
                           "parameters", &m->params)) ||
      (status = read_table(r, h->sources, sizeof(*m->sources), UINT32_MAX,
                           "sources", &m->sources)) ||
      (status = read_table(r, h->devices, sizeof(*m->devices),
                           MOE_MANIFEST_MAX_DEVICES, "devices", &m->devices)) ||
      (status = read_table(r, h->kernels, sizeof(*m->kernels), UINT32_MAX,
                           "kernels", &m->kernels)) ||
      (status = read_table(r, h->images, sizeof(*m->images), UINT32_MAX,
                           "images", &m->images)) ||
      (status = read_table(r, h->symbols, sizeof(*symbols),
                           MOE_MANIFEST_MAX_SYMBOLS, "symbols", &symbols)))
    return status;
  m->symbols = moe_zalloc(h->symbols.count, sizeof(char *));
  m->function_names = moe_zalloc(h->functions.count, sizeof(char *));
  m->argument_names = moe_zalloc(h->arguments.count, sizeof(char *));
  m->param_names = moe_zalloc(h->params.count, sizeof(char *));
  m->param_layouts = moe_zalloc(h->params.count, 2 * sizeof(char *));
  m->source_names = moe_zalloc(h->sources.count, sizeof(char *));
  m->device_names = moe_zalloc(h->devices.count, sizeof(char *));
  m->kernel_names = moe_zalloc(h->kernels.count, sizeof(char *));
  m->state_of_argument =
      moe_zalloc(h->arguments.count, sizeof(*m->state_of_argument));
  m->state_arguments =
      moe_zalloc(h->arguments.count, sizeof(*m->state_arguments));
  if (!m->symbols || !m->function_names || !m->argument_names ||
      !m->param_names || !m->param_layouts || !m->source_names ||
      !m->device_names || !m->kernel_names || !m->state_of_argument ||
      !m->state_arguments) {
    moe_free(symbols);
    return moe_fail_memory(r->error, r->name);
  }
  // A symbol is its name and nothing else.
  const moe_abi_string *names = (const moe_abi_string *)symbols;
  uint64_t total = 0;
  status = each_string(r, names, /*copy=*/false, &total);
  if (!status) {
    m->strings = moe_alloc(total);
    if (m->strings)
      each_string(r, names, /*copy=*/true, NULL);
    else
      status = moe_fail_memory(r->error, r->name);
  }
  moe_free(symbols);
  return status;
}

//===----------------------------------------------------------------------===//
// Checking
//===----------------------------------------------------------------------===//

static int compare_names(const void *context, uint32_t a, uint32_t b) {
  const char *const *names = context;
  return strcmp(names[a], names[b]);
}

// Names must not be empty and must differ.
static moe_rt_status check_names(reader *r, const char **names, size_t n,
                                 const char *what) {
  uint32_t *order = moe_alloc(2 * n * sizeof(*order));
  if (!order)
    return moe_fail_memory(r->error, r->name);
  for (size_t i = 0; i < n; i++)
    order[i] = (uint32_t)i;
  moe_sort(order, order + n, n, compare_names, names);
  moe_rt_status status = MOE_RT_OK;
  for (size_t i = 0; i < n && !status; i++) {
    if (!names[order[i]][0])
      status = damaged(r->error, r->name, what, order[i], "has no name");
    else if (i && !strcmp(names[order[i - 1]], names[order[i]]))
      status = damaged(r->error, r->name, what, order[i],
                       "has the name of another one");
  }
  moe_free(order);
  return status;
}

static bool is_integer(uint32_t dtype) {
  return dtype == MOE_ABI_I32 || dtype == MOE_ABI_I64 || dtype == MOE_ABI_U8;
}

static moe_rt_status check_argument(reader *r, uint32_t index) {
  const moe_manifest *m = r->manifest;
  const moe_abi_argument *a = &m->arguments[index];
  const char *why = NULL;
  if (a->role > MOE_ABI_COUNT)
    why = "unknown role";
  else if (a->dtype > MOE_ABI_U8)
    why = "unknown dtype";
  else if (a->rank > MOE_ABI_MAX_RANK)
    why = "rank is over 8";
  else if (a->limit < 0 ||
           (a->limit && (a->role != MOE_ABI_INPUT || !is_integer(a->dtype))))
    why = "limit on something that is not an integer input";
  for (uint32_t d = 0; !why && d < a->rank; d++) {
    const moe_abi_extent *e = &a->extents[d];
    if (e->symbol == MOE_ABI_NONE)
      why = e->value < 0 ? "size is negative" : NULL;
    else if (e->symbol >= m->header.symbols.count)
      why = "size names no symbol";
    else if (e->value < 1)
      why = "size is not a positive multiple of its symbol";
    else if (a->role == MOE_ABI_STATE &&
             strcmp(m->symbols[e->symbol], "B") != 0 &&
             strcmp(m->symbols[e->symbol], "N") != 0)
      why = "size of a state is neither constant nor B nor N";
  }
  if (!why && a->role == MOE_ABI_COUNT &&
      (a->dtype != MOE_ABI_I64 || a->rank > 1 ||
       (a->rank == 1 &&
        (a->extents[0].symbol != MOE_ABI_NONE || a->extents[0].value != 1))))
    why = "a count is not one int64";
  if (!why && a->role == MOE_ABI_LENGTHS &&
      (a->dtype != MOE_ABI_I64 || a->rank != 1 ||
       a->extents[0].symbol == MOE_ABI_NONE || a->extents[0].value != 1 ||
       strcmp(m->symbols[a->extents[0].symbol], "B") != 0))
    why = "lengths are not int64[B]";
  return why ? damaged(r->error, r->name, "argument", index, why) : MOE_RT_OK;
}

static uint32_t find_symbol(const moe_manifest *m, const char *name,
                            size_t size) {
  for (uint32_t i = 0; i < m->header.symbols.count; i++)
    if (strlen(m->symbols[i]) == size && !memcmp(m->symbols[i], name, size))
      return i;
  return MOE_ABI_NONE;
}

bool moe_manifest_product(const moe_manifest *m, uint32_t symbol,
                          uint32_t *left, uint32_t *right) {
  const char *name = m->symbols[symbol], *star = strchr(name, '*');
  if (!star)
    return false;
  *left = find_symbol(m, name, (size_t)(star - name));
  *right = find_symbol(m, star + 1, strlen(star + 1));
  return true;
}

static moe_rt_status check_function(reader *r, uint32_t index) {
  const moe_manifest *m = r->manifest;
  const moe_abi_function *f = &m->functions[index];
  if (!inside(f->first_argument, f->num_arguments, m->header.arguments.count) ||
      f->num_arguments > MOE_MANIFEST_MAX_ARGUMENTS)
    return damaged(r->error, r->name, "function", index,
                   "arguments lie outside");
  if (f->code == MOE_ABI_NONE)
    return damaged(r->error, r->name, "function", index, "has no code");
  const moe_abi_argument *arguments = m->arguments + f->first_argument;
  bool bound[MOE_MANIFEST_MAX_SYMBOLS] = {false};
  bool has_session = false, has_optional = false;
  for (uint32_t i = 0; i < f->num_arguments; i++) {
    const moe_abi_argument *a = &arguments[i];
    has_session |= a->role == MOE_ABI_STATE || a->role == MOE_ABI_LENGTHS;
    has_optional |= a->role == MOE_ABI_OPTIONAL_OUTPUT;
    for (uint32_t d = 0; a->role == MOE_ABI_INPUT && d < a->rank; d++)
      if (a->extents[d].symbol != MOE_ABI_NONE)
        bound[a->extents[d].symbol] = true;
    if (a->count_argument == MOE_ABI_NONE)
      continue;
    if (a->role != MOE_ABI_OUTPUT && a->role != MOE_ABI_OPTIONAL_OUTPUT)
      return damaged(r->error, r->name, "function", index,
                     "a bound on something that is not an output");
    if (a->rank == 0 || a->count_argument >= f->num_arguments ||
        arguments[a->count_argument].role != MOE_ABI_COUNT)
      return damaged(r->error, r->name, "function", index,
                     "a bounded output without its count");
  }
  if (has_optional && f->code_full == MOE_ABI_NONE)
    return damaged(r->error, r->name, "function", index,
                   "optional outputs, but no code for them");
  for (uint32_t s = 0; has_session && s < m->header.symbols.count; s++)
    if (!strcmp(m->symbols[s], "B") || !strcmp(m->symbols[s], "N"))
      bound[s] = true;
  for (uint32_t s = 0; s < m->header.symbols.count; s++) {
    uint32_t x, y;
    if (moe_manifest_product(m, s, &x, &y) && x != MOE_ABI_NONE &&
        y != MOE_ABI_NONE)
      bound[s] |= bound[x] && bound[y];
  }
  for (uint32_t i = 0; i < f->num_arguments; i++)
    for (uint32_t d = 0; d < arguments[i].rank; d++)
      if (arguments[i].extents[d].symbol != MOE_ABI_NONE &&
          !bound[arguments[i].extents[d].symbol])
        return damaged(r->error, r->name, "function", index,
                       "a size that no input gives");
  return check_names(r, m->argument_names + f->first_argument, f->num_arguments,
                     "argument");
}

static bool same_shape(const moe_abi_argument *a, const moe_abi_argument *b) {
  if (a->dtype != b->dtype || a->rank != b->rank)
    return false;
  for (uint32_t d = 0; d < a->rank; d++)
    if (a->extents[d].symbol != b->extents[d].symbol ||
        a->extents[d].value != b->extents[d].value)
      return false;
  return true;
}

// Functions share the states of one name.
static moe_rt_status number_states(reader *r) {
  moe_manifest *m = r->manifest;
  uint32_t n = m->header.arguments.count, used = 0;
  uint32_t *order = moe_alloc(2 * (size_t)n * sizeof(*order));
  if (!order)
    return moe_fail_memory(r->error, r->name);
  for (uint32_t i = 0; i < n; i++)
    if (m->arguments[i].role == MOE_ABI_STATE)
      order[used++] = i;
  moe_sort(order, order + n, used, compare_names, m->argument_names);
  moe_rt_status status = MOE_RT_OK;
  for (uint32_t i = 0; i < used && !status; i++) {
    if (i == 0 || compare_names(m->argument_names, order[i - 1], order[i]))
      m->state_arguments[m->num_states++] = order[i];
    else if (!same_shape(&m->arguments[order[i - 1]], &m->arguments[order[i]]))
      status = damaged(r->error, r->name, "argument", order[i],
                       "a state of one name has two shapes");
    m->state_of_argument[order[i]] = m->num_states - 1;
  }
  moe_free(order);
  return status;
}

uint32_t moe_abi_dtype_size(uint32_t dtype) {
  static const uint8_t sizes[] = {4, 2, 2, 4, 8, 8, 1};
  return dtype < sizeof(sizes) ? sizes[dtype] : 0;
}

const char *moe_abi_dtype_name(uint32_t dtype) {
  static const char *const names[] = {"f32", "f16", "bf16", "i32",
                                      "i64", "f64", "u8"};
  return dtype < sizeof(names) / sizeof(names[0]) ? names[dtype] : "unknown";
}

bool moe_source_bytes(const moe_abi_source *source, uint64_t *size_bytes) {
  uint64_t size = moe_abi_dtype_size(source->dtype);
  for (uint32_t d = 0; d < source->rank; d++)
    if (!moe_mul(size, source->extents[d], &size))
      return false;
  *size_bytes = size;
  return true;
}

// Levels of code that a parameter's layout is given for: those of the CPU, or,
// for a device, the one that is written twice.
static unsigned param_levels(const moe_manifest *m, uint32_t param) {
  return param < m->header.num_cpu_params ? m->header.levels : 3;
}

static moe_rt_status check_params(reader *r) {
  const moe_manifest *m = r->manifest;
  for (uint32_t i = 0; i < m->header.sources.count; i++) {
    const moe_abi_source *s = &m->sources[i];
    uint64_t size;
    if (!m->source_names[i][0])
      return damaged(r->error, r->name, "source", i, "has no name");
    if (s->dtype > MOE_ABI_U8 || s->rank > MOE_ABI_MAX_RANK)
      return damaged(r->error, r->name, "source", i, "unknown dtype or rank");
    if (!moe_source_bytes(s, &size) || size > MOE_MANIFEST_MAX_BYTES ||
        (uint64_t)s->first + s->count > UINT32_MAX)
      return damaged(r->error, r->name, "source", i, "size overflows");
  }
  uint64_t all_sources = 0;
  for (uint32_t i = 0; i < m->header.params.count; i++) {
    const moe_abi_param *p = &m->params[i];
    if (!inside(p->first_source, p->num_sources, m->header.sources.count))
      return damaged(r->error, r->name, "parameter", i, "sources lie outside");
    all_sources += p->num_sources;
    if (p->num_sources == 0 || all_sources > (uint64_t)1 << 24)
      return damaged(r->error, r->name, "parameter", i,
                     "no sources, or too many");
    uint64_t sum = 0;
    bool one_dtype = true;
    for (uint32_t j = 0; j < p->num_sources; j++) {
      one_dtype &= m->sources[p->first_source + j].dtype ==
                   m->sources[p->first_source].dtype;
      uint64_t size = 0;
      moe_source_bytes(&m->sources[p->first_source + j], &size);
      sum += size; // each is at most 2^46, and there are at most 2^24
      if (sum > MOE_MANIFEST_MAX_BYTES)
        return damaged(r->error, r->name, "parameter", i, "size overflows");
    }
    for (unsigned level = 0; level < 2; level++) {
      if (!(param_levels(m, i) & 1u << level))
        continue;
      if (p->size[level] > MOE_MANIFEST_MAX_BYTES ||
          (p->pack[level] == MOE_ABI_NONE &&
           (p->size[level] != sum || !one_dtype)))
        return damaged(r->error, r->name, "parameter", i,
                       "size does not fit its sources");
    }
    if (i >= m->header.num_cpu_params &&
        (p->size[0] != p->size[1] || p->pack[0] != p->pack[1]))
      return damaged(r->error, r->name, "parameter", i,
                     "a device's, with two layouts");
  }
  return MOE_RT_OK;
}

static moe_rt_status check_kernel(reader *r, const moe_abi_device *d,
                                  uint32_t index) {
  const moe_abi_kernel *k = &r->manifest->kernels[index];
  uint64_t threads = 1, blocks = 1;
  // Limits of CUDA on every GPU of today; the device at hand may have others.
  for (int i = 0; i < 3; i++) {
    if (k->block[i] < 1 || k->block[i] > 1024 || k->cluster[i] < 1 ||
        k->cluster[i] > 16)
      return damaged(r->error, r->name, "kernel", index,
                     "block or cluster out of range");
    threads *= k->block[i];
    blocks *= k->cluster[i];
  }
  if (threads > 1024 || k->block[2] > 64 || blocks > 16)
    return damaged(r->error, r->name, "kernel", index,
                   "block or cluster out of range");
  if (blocks > 1 && d->level < 90)
    return damaged(r->error, r->name, "kernel", index,
                   "a cluster on a device before 9.0");
  if (k->num_arguments > MOE_MANIFEST_MAX_KERNEL_ARGUMENTS)
    return damaged(r->error, r->name, "kernel", index, "too many arguments");
  if ((uint64_t)k->static_shared + k->dynamic_shared > 1u << 20 ||
      k->registers > 255)
    return damaged(r->error, r->name, "kernel", index,
                   "registers or shared memory out of range");
  if (k->resident_blocks > MOE_MANIFEST_MAX_RESIDENT_BLOCKS ||
      (k->resident_blocks && blocks > 1))
    return damaged(r->error, r->name, "kernel", index,
                   "resident blocks out of range");
  if (k->flags & ~(MOE_ABI_KERNEL_OVERLAPS | MOE_ABI_KERNEL_UNORDERED))
    return damaged(r->error, r->name, "kernel", index, "unknown flag");
  return MOE_RT_OK;
}

static moe_rt_status check_images(reader *r) {
  const moe_manifest *m = r->manifest;
  uint64_t total = 0;
  for (uint32_t i = 0; i < m->header.images.count; i++) {
    const moe_abi_image *image = &m->images[i];
    uint64_t size = image->bytes.size;
    if (image->kind > MOE_ABI_IMAGE_PTX)
      return damaged(r->error, r->name, "image", i, "unknown kind");
    size += image->kind == MOE_ABI_IMAGE_PTX; // the NUL
    // Each has bytes of its own, so this bounds the work below.
    total += size;
    if (!image->bytes.size || !inside(image->bytes.offset, size, r->size) ||
        total > r->size)
      return damaged(r->error, r->name, "image", i, "bytes lie outside");
    const uint8_t *bytes = r->note + image->bytes.offset;
    if (image->kind == MOE_ABI_IMAGE_PTX &&
        memchr(bytes, 0, size) != bytes + image->bytes.size)
      return damaged(r->error, r->name, "image", i,
                     "PTX does not end where it says");
  }
  return MOE_RT_OK;
}

static moe_rt_status check_devices(reader *r) {
  const moe_manifest *m = r->manifest;
  const moe_abi_manifest *h = &m->header;
  // One device after the other has its part of each table.
  uint64_t params = h->num_cpu_params, kernels = 0, images = 0;
  if (params > h->params.count)
    return refuse(r->error, r->name,
                  "manifest is damaged: more parameters of the CPU than there "
                  "are");
  moe_rt_status status =
      check_names(r, m->param_names, (size_t)params, "parameter");
  for (uint32_t i = 0; i < h->devices.count && !status; i++) {
    const moe_abi_device *d = &m->devices[i];
    if (d->first_param != params || d->first_kernel != kernels ||
        d->first_image != images ||
        !inside(params, d->num_params, h->params.count) ||
        !inside(kernels, d->num_kernels, h->kernels.count) ||
        !inside(images, d->num_images, h->images.count))
      return damaged(r->error, r->name, "device", i,
                     "its tables lie outside or overlap");
    if (d->level < 20 || d->level > 999 || d->exact > 1)
      return damaged(r->error, r->name, "device", i,
                     "compute capability out of range");
    for (uint32_t k = 0; k < i; k++)
      if (m->devices[k].level == d->level)
        return damaged(r->error, r->name, "device", i,
                       "has the level of another one");
    if (!d->num_images)
      return damaged(r->error, r->name, "device", i, "has no image");
    if ((status = check_names(r, m->param_names + params, d->num_params,
                              "parameter of a device")) ||
        (status = check_names(r, m->kernel_names + kernels, d->num_kernels,
                              "kernel")))
      return status;
    for (uint32_t k = 0; k < d->num_kernels; k++)
      if ((status = check_kernel(r, d, d->first_kernel + k)))
        return status;
    params += d->num_params;
    kernels += d->num_kernels;
    images += d->num_images;
  }
  if (status)
    return status;
  if (params != h->params.count || kernels != h->kernels.count ||
      images != h->images.count)
    return refuse(r->error, r->name,
                  "manifest is damaged: a table has entries of no device");
  if ((status = check_names(r, m->device_names, h->devices.count, "device")))
    return status;
  return check_images(r);
}

static moe_rt_status check_all(reader *r) {
  const moe_manifest *m = r->manifest;
  const moe_abi_manifest *h = &m->header;
  if ((h->levels & 3) == 0 && !h->devices.count)
    return refuse(r->error, r->name, "manifest is damaged: no code level");
  if (h->max_length < 0 || h->max_length > INT32_MAX || h->vocab_size < 0 ||
      h->vocab_size > INT32_MAX)
    return refuse(r->error, r->name,
                  "manifest is damaged: length or vocabulary out of range");
  moe_rt_status status;
  if ((status = check_names(r, m->symbols, h->symbols.count, "symbol")) ||
      (status =
           check_names(r, m->function_names, h->functions.count, "function")) ||
      (status = check_devices(r)))
    return status;
  for (uint32_t i = 0; i < h->arguments.count; i++)
    if ((status = check_argument(r, i)))
      return status;
  // Each argument belongs to one function, so this bounds the work below.
  uint64_t all_arguments = 0;
  for (uint32_t i = 0; i < h->functions.count; i++)
    all_arguments += m->functions[i].num_arguments;
  if (all_arguments > h->arguments.count)
    return refuse(r->error, r->name,
                  "manifest is damaged: functions share arguments");
  for (uint32_t i = 0; i < h->functions.count; i++)
    if ((status = check_function(r, i)))
      return status;
  if ((status = number_states(r)))
    return status;
  return check_params(r);
}

moe_rt_status moe_manifest_read(const uint8_t *bytes, size_t size,
                                const char *name, moe_manifest **manifest,
                                moe_error *error) {
  uint64_t offset, length;
  moe_rt_status status =
      check_whole(bytes, size, name, &offset, &length, error);
  if (status)
    return status;
  moe_manifest *result = moe_zalloc(1, sizeof(*result));
  if (!result)
    return moe_fail_memory(error, name);
  reader r = {bytes + offset, length, name, result, 0, error};
  result->note_offset = offset;
  status = read_all(&r);
  if (!status)
    status = check_all(&r);
  result->is_program = is_program(bytes);
  if (status) {
    moe_manifest_free(result);
    return status;
  }
  *manifest = result;
  return MOE_RT_OK;
}

void moe_manifest_free(moe_manifest *m) {
  if (!m)
    return;
  moe_free(m->symbols);
  moe_free(m->functions);
  moe_free(m->function_names);
  moe_free(m->arguments);
  moe_free(m->argument_names);
  moe_free(m->params);
  moe_free(m->param_names);
  moe_free(m->param_layouts);
  moe_free(m->sources);
  moe_free(m->source_names);
  moe_free(m->devices);
  moe_free(m->device_names);
  moe_free(m->kernels);
  moe_free(m->kernel_names);
  moe_free(m->images);
  moe_free(m->state_of_argument);
  moe_free(m->state_arguments);
  moe_free(m->strings);
  moe_free(m);
}

int64_t moe_manifest_function(const moe_manifest *m, const char *name) {
  for (uint32_t i = 0; i < m->header.functions.count; i++)
    if (!strcmp(m->function_names[i], name))
      return i;
  return -1;
}

//===----------------------------------------------------------------------===//
// Describing
//===----------------------------------------------------------------------===//

static void put_string(moe_text *t, const char *string) {
  moe_text_json(t, string, strlen(string));
}

static void put_shape(const moe_manifest *m, const moe_abi_argument *a,
                      moe_text *t) {
  moe_text_puts(t, "[");
  for (uint32_t d = 0; d < a->rank; d++) {
    const moe_abi_extent *e = &a->extents[d];
    if (d)
      moe_text_puts(t, ", ");
    if (e->symbol == MOE_ABI_NONE) {
      moe_text_printf(t, "%lld", (long long)e->value);
      continue;
    }
    // "B", or "2*T".
    moe_text name = {0};
    if (e->value != 1)
      moe_text_printf(&name, "%lld*", (long long)e->value);
    moe_text_puts(&name, m->symbols[e->symbol]);
    if (name.failed)
      t->failed = true;
    else
      moe_text_json(t, name.data, name.size);
    moe_free(name.data);
  }
  moe_text_puts(t, "]");
}

static void put_arguments(const moe_manifest *m, const moe_abi_function *f,
                          const char *key, unsigned roles, moe_text *t) {
  moe_text_printf(t, ",\n     \"%s\": [", key);
  const char *separator = "";
  for (uint32_t i = 0; i < f->num_arguments; i++) {
    uint32_t index = f->first_argument + i;
    const moe_abi_argument *a = &m->arguments[index];
    if (!(roles & 1u << a->role))
      continue;
    moe_text_printf(t, "%s\n       {\"name\": ", separator);
    put_string(t, m->argument_names[index]);
    moe_text_printf(
        t, ", \"dtype\": \"%s\", \"shape\": ", moe_abi_dtype_name(a->dtype));
    put_shape(m, a, t);
    if (a->limit)
      moe_text_printf(t, ", \"limit\": %lld", (long long)a->limit);
    if (a->role == MOE_ABI_OPTIONAL_OUTPUT)
      moe_text_puts(t, ", \"optional\": true");
    if (a->count_argument != MOE_ABI_NONE)
      moe_text_puts(t, ", \"bounded\": true");
    moe_text_puts(t, "}");
    separator = ",";
  }
  moe_text_puts(t, "]");
}

static void put_layout(const moe_manifest *m, uint32_t index, unsigned level,
                       moe_text *t) {
  const moe_abi_param *p = &m->params[index];
  moe_text_puts(t, "{\"layout\": ");
  put_string(t, m->param_layouts[2 * index + level]);
  moe_text_printf(t, ", \"bytes\": %llu, \"packed\": %s}",
                  (unsigned long long)p->size[level],
                  p->pack[level] == MOE_ABI_NONE ? "false" : "true");
}

// `device` NULL: of the CPU's code.
static void put_param(const moe_manifest *m, uint32_t index, const char *device,
                      moe_text *t) {
  const moe_abi_param *p = &m->params[index];
  moe_text_puts(t, "    {\"name\": ");
  put_string(t, m->param_names[index]);
  for (unsigned level = 0; level < 2 && !device; level++) {
    if (!(m->header.levels & 1u << level))
      continue;
    moe_text_printf(t, ",\n     \"x86-64-v%u\": ", level + 3);
    put_layout(m, index, level, t);
  }
  if (device) {
    moe_text_puts(t, ",\n     ");
    put_string(t, device);
    moe_text_puts(t, ": ");
    put_layout(m, index, 0, t);
  }
  moe_text_puts(t, ",\n     \"sources\": [");
  for (uint32_t i = 0; i < p->num_sources; i++) {
    const moe_abi_source *s = &m->sources[p->first_source + i];
    moe_text_puts(t, i ? ",\n       {\"tensor\": " : "\n       {\"tensor\": ");
    put_string(t, m->source_names[p->first_source + i]);
    moe_text_printf(t, ", \"dtype\": \"%s\", \"shape\": [",
                    moe_abi_dtype_name(s->dtype));
    for (uint32_t d = 0; d < s->rank; d++)
      moe_text_printf(t, "%s%llu", d ? ", " : "",
                      (unsigned long long)s->extents[d]);
    moe_text_printf(t, "], \"first\": %u, \"count\": %u, \"part\": %u}",
                    s->first, s->count, s->part);
  }
  moe_text_puts(t, "]}");
}

static void put_kernel(const moe_manifest *m, uint32_t index, moe_text *t) {
  const moe_abi_kernel *k = &m->kernels[index];
  moe_text_puts(t, "       {\"name\": ");
  put_string(t, m->kernel_names[index]);
  moe_text_printf(
      t,
      ", \"arguments\": %u, \"block\": [%u, %u, %u], \"cluster\": [%u, %u, "
      "%u],\n        \"static_shared\": %u, \"dynamic_shared\": %u, ",
      k->num_arguments, k->block[0], k->block[1], k->block[2], k->cluster[0],
      k->cluster[1], k->cluster[2], k->static_shared, k->dynamic_shared);
  if (k->registers)
    moe_text_printf(t, "\"registers\": %u, ", k->registers);
  if (k->resident_blocks)
    moe_text_printf(t, "\"resident_blocks\": %u, ", k->resident_blocks);
  moe_text_printf(t, "\"overlaps\": %s, \"unordered\": %s}",
                  k->flags & MOE_ABI_KERNEL_OVERLAPS ? "true" : "false",
                  k->flags & MOE_ABI_KERNEL_UNORDERED ? "true" : "false");
}

static void put_device(const moe_manifest *m, uint32_t index, moe_text *t) {
  const moe_abi_device *d = &m->devices[index];
  moe_text_puts(t, "    {\"name\": ");
  put_string(t, m->device_names[index]);
  moe_text_printf(t, ", \"compute_capability\": \"%u.%u\", \"exact\": %s",
                  d->level / 10, d->level % 10, d->exact ? "true" : "false");
  bool is_ordered = true;
  for (uint32_t i = 0; i < d->num_kernels; i++)
    is_ordered &=
        !(m->kernels[d->first_kernel + i].flags & MOE_ABI_KERNEL_UNORDERED);
  moe_text_printf(t, ", \"deterministic\": %s", is_ordered ? "true" : "false");
  moe_text_puts(t, ",\n     \"images\": [");
  for (uint32_t i = 0; i < d->num_images; i++) {
    const moe_abi_image *image = &m->images[d->first_image + i];
    moe_text_printf(t, "%s{\"kind\": \"%s\", \"bytes\": %u}", i ? ", " : "",
                    image->kind == MOE_ABI_IMAGE_PTX ? "ptx" : "cubin",
                    image->bytes.size);
  }
  moe_text_puts(t, "],\n     \"kernels\": [");
  for (uint32_t i = 0; i < d->num_kernels; i++) {
    moe_text_puts(t, i ? ",\n" : "\n");
    put_kernel(m, d->first_kernel + i, t);
  }
  moe_text_puts(t, "],\n     \"parameters\": [");
  for (uint32_t i = 0; i < d->num_params; i++) {
    moe_text_puts(t, i ? ",\n" : "\n");
    put_param(m, d->first_param + i, m->device_names[index], t);
  }
  moe_text_puts(t, "]}");
}

void moe_manifest_describe(const moe_manifest *m, moe_text *t) {
  const moe_abi_manifest *h = &m->header;
  moe_text_printf(t, "{\n  \"abi\": \"%u.%u\",\n  \"target\": ", h->abi_major,
                  h->abi_minor);
  put_string(t, m->target);
  moe_text_puts(t, ",\n  \"compiler\": ");
  put_string(t, m->compiler);
  moe_text_puts(t, ",\n  \"model\": ");
  put_string(t, m->model);
  moe_text_printf(
      t, ",\n  \"levels\": [%s%s%s]", h->levels & 1 ? "\"x86-64-v3\"" : "",
      (h->levels & 3) == 3 ? ", " : "", h->levels & 2 ? "\"x86-64-v4\"" : "");
  moe_text_printf(t, ",\n  \"file_size\": %llu,\n  \"sha256\": \"",
                  (unsigned long long)h->file_size);
  for (int i = 0; i < 32; i++)
    moe_text_printf(t, "%02x", h->sha256[i]);
  moe_text_printf(t, "\",\n  \"max_length\": %lld,\n  \"vocab_size\": %lld",
                  (long long)h->max_length, (long long)h->vocab_size);
  moe_text_puts(t, ",\n  \"symbols\": [");
  for (uint32_t i = 0; i < h->symbols.count; i++) {
    if (i)
      moe_text_puts(t, ", ");
    put_string(t, m->symbols[i]);
  }
  moe_text_puts(t, "],\n  \"functions\": [");
  for (uint32_t i = 0; i < h->functions.count; i++) {
    moe_text_puts(t, i ? ",\n    {\"name\": " : "\n    {\"name\": ");
    put_string(t, m->function_names[i]);
    const moe_abi_function *f = &m->functions[i];
    put_arguments(m, f, "inputs", 1u << MOE_ABI_INPUT, t);
    put_arguments(m, f, "outputs",
                  1u << MOE_ABI_OUTPUT | 1u << MOE_ABI_OPTIONAL_OUTPUT, t);
    put_arguments(m, f, "state", 1u << MOE_ABI_STATE, t);
    moe_text_puts(t, "}");
  }
  moe_text_puts(t, "],\n  \"parameters\": [");
  for (uint32_t i = 0; i < h->num_cpu_params; i++) {
    moe_text_puts(t, i ? ",\n" : "\n");
    put_param(m, i, NULL, t);
  }
  moe_text_puts(t, "],\n  \"devices\": [");
  for (uint32_t i = 0; i < h->devices.count; i++) {
    moe_text_puts(t, i ? ",\n" : "\n");
    put_device(m, i, t);
  }
  moe_text_puts(t, "]\n}\n");
}
