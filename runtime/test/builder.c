//===- builder.c - Manifests made by hand ---------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "builder.h"
#include "fake.h"
#include "manifest.h"
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory) {
  if (!memory)
    abort();
  return memory;
}

void builder_start(builder *b) {
  memset(b, 0, sizeof(*b));
  b->header.magic = MOE_ABI_MAGIC;
  b->header.abi_major = MOE_ABI_MAJOR;
  b->header.abi_minor = MOE_ABI_MINOR;
  b->header.levels = 3;
  b->header.target = builder_string(b, "x86_64-unknown-linux-gnu");
  b->header.compiler = builder_string(b, "by hand");
  b->header.model = builder_string(b, "fake");
}

// Offsets are relative to the strings until the note is put together.
moe_abi_string builder_string(builder *b, const char *text) {
  size_t n = strlen(text);
  if (b->num_strings + n > sizeof(b->strings))
    abort();
  memcpy(b->strings + b->num_strings, text, n);
  moe_abi_string result = {b->num_strings, (uint32_t)n};
  b->num_strings += (uint32_t)n;
  return result;
}

uint32_t builder_symbol(builder *b, const char *name) {
  b->symbols[b->num_symbols].name = builder_string(b, name);
  return b->num_symbols++;
}

moe_abi_function *builder_function(builder *b, const char *name,
                                   uint32_t code) {
  moe_abi_function *f = &b->functions[b->num_functions++];
  f->name = builder_string(b, name);
  f->first_argument = b->num_arguments;
  f->code = code;
  f->code_full = f->arena = f->arena_full = MOE_ABI_NONE;
  return f;
}

static uint32_t find_symbol(const builder *b, const char *name, size_t n) {
  for (uint32_t i = 0; i < b->num_symbols; i++)
    if (b->symbols[i].name.size == n &&
        !memcmp(b->strings + b->symbols[i].name.offset, name, n))
      return i;
  abort();
}

moe_abi_argument *builder_argument(builder *b, const char *name, uint32_t role,
                                   uint32_t dtype, const char *shape) {
  moe_abi_argument *a = &b->arguments[b->num_arguments++];
  b->functions[b->num_functions - 1].num_arguments++;
  a->name = builder_string(b, name);
  a->role = role;
  a->dtype = dtype;
  a->count_argument = MOE_ABI_NONE;
  while (*shape) {
    moe_abi_extent *e = &a->extents[a->rank++];
    char *end;
    e->symbol = MOE_ABI_NONE;
    e->value = strtoll(shape, &end, 10);
    bool number = end != shape;
    shape = *end == '*' ? end + 1 : end;
    size_t n = strcspn(shape, " ");
    if (n) {
      e->symbol = find_symbol(b, shape, n);
      if (!number)
        e->value = 1;
    }
    shape += n;
    shape += *shape == ' ';
  }
  return a;
}

moe_abi_param *builder_param(builder *b, const char *name, uint64_t size,
                             uint32_t pack) {
  moe_abi_param *p = &b->params[b->num_params++];
  if (b->num_devices)
    b->devices[b->num_devices - 1].num_params++;
  else
    b->header.num_cpu_params++;
  p->name = builder_string(b, name);
  p->layout[0] = builder_string(b, pack == MOE_ABI_NONE ? "" : "tiles v3");
  p->layout[1] = builder_string(b, pack == MOE_ABI_NONE ? "" : "tiles v4");
  p->first_source = b->num_sources;
  p->size[0] = p->size[1] = size;
  p->pack[0] = p->pack[1] = pack;
  return p;
}

moe_abi_source *builder_source(builder *b, const char *tensor, uint32_t dtype,
                               const char *shape) {
  moe_abi_source *s = &b->sources[b->num_sources++];
  b->params[b->num_params - 1].num_sources++;
  s->tensor = builder_string(b, tensor);
  s->dtype = dtype;
  char *end;
  for (; *shape; shape = *end ? end + 1 : end)
    s->extents[s->rank++] = strtoull(shape, &end, 10);
  return s;
}

moe_abi_device *builder_device(builder *b, const char *name, uint32_t level) {
  moe_abi_device *d = &b->devices[b->num_devices++];
  d->name = builder_string(b, name);
  d->level = level;
  d->first_param = b->num_params;
  d->first_kernel = b->num_kernels;
  d->first_image = b->num_images;
  return d;
}

moe_abi_kernel *builder_kernel(builder *b, const char *name,
                               uint32_t num_arguments) {
  moe_abi_kernel *k = &b->kernels[b->num_kernels++];
  b->devices[b->num_devices - 1].num_kernels++;
  k->name = builder_string(b, name);
  k->num_arguments = num_arguments;
  k->block[0] = 128;
  k->block[1] = k->block[2] = 1;
  k->cluster[0] = k->cluster[1] = k->cluster[2] = 1;
  return k;
}

moe_abi_image *builder_image(builder *b, uint32_t kind, const char *bytes) {
  moe_abi_image *i = &b->images[b->num_images++];
  b->devices[b->num_devices - 1].num_images++;
  i->kind = kind;
  i->bytes = builder_string(b, bytes);
  if (b->num_strings == sizeof(b->strings))
    abort();
  b->strings[b->num_strings++] = 0; // behind PTX
  return i;
}

static moe_abi_table put(uint8_t *note, size_t *at, const void *data,
                         size_t count, size_t size) {
  moe_abi_table table = {(uint32_t)*at, (uint32_t)count};
  memcpy(note + *at, data, count * size);
  *at += count * size;
  return table;
}

uint8_t *builder_note(const builder *b, size_t *size) {
  builder *c = must(malloc(sizeof(*c)));
  memcpy(c, b, sizeof(*c));
  uint8_t *note = must(calloc(1, sizeof(*c)));
  // Strings come first, so that the tables are not aligned to anything.
  size_t at = sizeof(c->header);
  uint32_t strings = (uint32_t)at;
  memcpy(note + at, c->strings, c->num_strings);
  at += c->num_strings;
  c->header.target.offset += strings;
  c->header.compiler.offset += strings;
  c->header.model.offset += strings;
  for (uint32_t i = 0; i < c->num_symbols; i++)
    c->symbols[i].name.offset += strings;
  for (uint32_t i = 0; i < c->num_functions; i++)
    c->functions[i].name.offset += strings;
  for (uint32_t i = 0; i < c->num_arguments; i++)
    c->arguments[i].name.offset += strings;
  for (uint32_t i = 0; i < c->num_params; i++) {
    c->params[i].name.offset += strings;
    c->params[i].layout[0].offset += strings;
    c->params[i].layout[1].offset += strings;
  }
  for (uint32_t i = 0; i < c->num_sources; i++)
    c->sources[i].tensor.offset += strings;
  for (uint32_t i = 0; i < c->num_devices; i++)
    c->devices[i].name.offset += strings;
  for (uint32_t i = 0; i < c->num_kernels; i++)
    c->kernels[i].name.offset += strings;
  for (uint32_t i = 0; i < c->num_images; i++)
    c->images[i].bytes.offset += strings;
  moe_abi_manifest *h = &c->header;
  h->symbols = put(note, &at, c->symbols, c->num_symbols, sizeof(*c->symbols));
  h->functions =
      put(note, &at, c->functions, c->num_functions, sizeof(*c->functions));
  h->arguments =
      put(note, &at, c->arguments, c->num_arguments, sizeof(*c->arguments));
  h->params = put(note, &at, c->params, c->num_params, sizeof(*c->params));
  h->sources = put(note, &at, c->sources, c->num_sources, sizeof(*c->sources));
  h->devices = put(note, &at, c->devices, c->num_devices, sizeof(*c->devices));
  h->kernels = put(note, &at, c->kernels, c->num_kernels, sizeof(*c->kernels));
  h->images = put(note, &at, c->images, c->num_images, sizeof(*c->images));
  h->manifest_size = at;
  memcpy(note, h, sizeof(*h));
  free(c);
  *size = at;
  return note;
}

uint8_t *builder_wrap(const uint8_t *note, size_t note_size, size_t *size) {
  size_t padded = (note_size + 3) & ~(size_t)3;
  // A foreign note comes first.
  struct {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[2];
    Elf64_Nhdr foreign;
    char foreign_name[4], foreign_data[8];
    Elf64_Nhdr nh;
    char name[4];
  } head;
  memset(&head, 0, sizeof(head));
  memcpy(head.eh.e_ident, ELFMAG, SELFMAG);
  head.eh.e_ident[EI_CLASS] = ELFCLASS64;
  head.eh.e_ident[EI_DATA] = ELFDATA2LSB;
  head.eh.e_machine = EM_X86_64;
  head.eh.e_type = ET_DYN;
  head.eh.e_phoff = offsetof(__typeof__(head), ph);
  head.eh.e_phentsize = sizeof(Elf64_Phdr);
  head.eh.e_phnum = 2;
  head.ph[0].p_type = PT_LOAD;
  head.ph[1].p_type = PT_NOTE;
  head.ph[1].p_offset = offsetof(__typeof__(head), foreign);
  head.foreign = (Elf64_Nhdr){4, 8, 1};
  memcpy(head.foreign_name, "GNU", 4);
  head.nh = (Elf64_Nhdr){4, (uint32_t)note_size, MOE_ABI_NOTE_TYPE};
  memcpy(head.name, MOE_ABI_NOTE_OWNER, 4);
  // `head` may have padding behind `name`.
  size_t used = offsetof(__typeof__(head), name) + 4;
  head.ph[1].p_filesz = used + padded - head.ph[1].p_offset;
  *size = used + padded + 5;
  uint8_t *file = must(calloc(1, *size));
  memcpy(file, &head, used);
  memcpy(file + used, note, note_size);
  moe_manifest_seal(file, *size, "built", NULL);
  return file;
}

uint8_t *builder_file(const builder *b, size_t *size) {
  size_t note_size;
  uint8_t *note = builder_note(b, &note_size);
  uint8_t *file = builder_wrap(note, note_size, size);
  free(note);
  return file;
}

static void add_params(builder *b) {
  const uint32_t none = MOE_ABI_NONE;
  builder_param(b, "scale", 16, none);
  builder_source(b, "scale", MOE_ABI_F32, "4");

  builder_param(b, "experts", 128, FAKE_PACK);
  for (uint32_t expert = 0; expert < 2; expert++)
    for (uint32_t part = 0; part < 2; part++) {
      char name[16];
      snprintf(name, sizeof(name), "e%u.%s", expert, part ? "up" : "gate");
      moe_abi_source *s = builder_source(b, name, MOE_ABI_F32, "3 2");
      s->first = expert;
      s->count = 1;
      s->part = part;
    }

  builder_param(b, "joined", 6, none);
  builder_source(b, "j0", MOE_ABI_U8, "3");
  builder_source(b, "j1", MOE_ABI_U8, "2");
  builder_source(b, "j2", MOE_ABI_U8, "1");

  builder_param(b, "half", 8, none);
  builder_source(b, "half", MOE_ABI_BF16, "2 2");
}

void build_fake(builder *b) {
  builder_start(b);
  b->header.max_length = FAKE_MAX_LENGTH;
  b->header.vocab_size = FAKE_VOCAB;
  builder_symbol(b, "T");
  builder_symbol(b, "B");
  builder_symbol(b, "S");
  builder_symbol(b, "N");
  builder_symbol(b, "B*S");
  builder_symbol(b, "B*Z"); // of which one is not there

  moe_abi_function *f = builder_function(b, "scale", FAKE_SCALE);
  f->code_full = FAKE_SCALE_FULL;
  f->arena = FAKE_SCALE_ARENA;
  f->arena_full = FAKE_SCALE_ARENA_FULL;
  builder_argument(b, "x", MOE_ABI_INPUT, MOE_ABI_F32, "T 4");
  // Before the required one: callers see it last all the same.
  builder_argument(b, "sums", MOE_ABI_OPTIONAL_OUTPUT, MOE_ABI_F32, "T");
  builder_argument(b, "y", MOE_ABI_OUTPUT, MOE_ABI_F32, "T 4");
  builder_argument(b, "twice", MOE_ABI_OPTIONAL_OUTPUT, MOE_ABI_F32, "2*T 4");

  builder_function(b, "positive", FAKE_POSITIVE);
  builder_argument(b, "x", MOE_ABI_INPUT, MOE_ABI_F32, "T");
  builder_argument(b, "count", MOE_ABI_COUNT, MOE_ABI_I64, "");
  builder_argument(b, "places", MOE_ABI_OUTPUT, MOE_ABI_I64, "2*T 3")
      ->count_argument = 1;

  builder_function(b, "append", FAKE_APPEND);
  builder_argument(b, "ids", MOE_ABI_INPUT, MOE_ABI_I64, "B S")->limit =
      FAKE_VOCAB;
  builder_argument(b, "cache", MOE_ABI_STATE, MOE_ABI_I64, "B N");
  builder_argument(b, "lengths", MOE_ABI_LENGTHS, MOE_ABI_I64, "B");
  builder_argument(b, "sum", MOE_ABI_OUTPUT, MOE_ABI_I64, "B");

  builder_function(b, "last", FAKE_LAST);
  builder_argument(b, "bias", MOE_ABI_INPUT, MOE_ABI_I32, "B S")->limit = 100;
  builder_argument(b, "lengths", MOE_ABI_LENGTHS, MOE_ABI_I64, "B");
  builder_argument(b, "cache", MOE_ABI_STATE, MOE_ABI_I64, "B N");
  builder_argument(b, "last", MOE_ABI_OUTPUT, MOE_ABI_I64, "B N");

  builder_function(b, "param", FAKE_PARAM);
  builder_argument(b, "which", MOE_ABI_INPUT, MOE_ABI_U8, "")->limit =
      FAKE_NUM_PARAMS;
  builder_argument(b, "bytes", MOE_ABI_OUTPUT, MOE_ABI_U8, "128");

  builder_function(b, "affine", FAKE_AFFINE);
  builder_argument(b, "x", MOE_ABI_INPUT, MOE_ABI_I32, "T");
  builder_argument(b, "y", MOE_ABI_OUTPUT, MOE_ABI_I32, "T");

  builder_function(b, "nested", FAKE_NESTED);
  builder_argument(b, "x", MOE_ABI_INPUT, MOE_ABI_I32, "T");
  builder_argument(b, "y", MOE_ABI_OUTPUT, MOE_ABI_I32, "T 8");

  builder_function(b, "liar", FAKE_LIAR);
  builder_argument(b, "x", MOE_ABI_INPUT, MOE_ABI_F32, "T");
  builder_argument(b, "y", MOE_ABI_OUTPUT, MOE_ABI_F32, "T")->count_argument =
      2;
  builder_argument(b, "count", MOE_ABI_COUNT, MOE_ABI_I64, "1");

  builder_function(b, "greedy", FAKE_APPEND)->arena = FAKE_GREEDY_ARENA;
  builder_argument(b, "x", MOE_ABI_INPUT, MOE_ABI_F64, "T T");

  builder_function(b, "floats", FAKE_FLOATS);
  builder_argument(b, "x", MOE_ABI_INPUT, MOE_ABI_BF16, "T");
  builder_argument(b, "control", MOE_ABI_OUTPUT, MOE_ABI_I32, "T");

  builder_function(b, "flatten", FAKE_FLATTEN);
  builder_argument(b, "x", MOE_ABI_INPUT, MOE_ABI_I32, "B S");
  builder_argument(b, "flat", MOE_ABI_INPUT, MOE_ABI_I32, "B*S");
  builder_argument(b, "y", MOE_ABI_OUTPUT, MOE_ABI_I32, "B*S 2");

  add_params(b);
}

static void add_device(builder *b, const char *name, uint32_t level) {
  builder_device(b, name, level)->exact = level == 90;
  add_params(b);
  moe_abi_kernel *scale = builder_kernel(b, "scale", 8);
  scale->dynamic_shared = 100000;
  scale->cluster[0] = level == 90 ? 2 : 1;
  builder_kernel(b, "positive", 4)->resident_blocks = 1;
  builder_kernel(b, "append", 7)->flags = MOE_ABI_KERNEL_OVERLAPS;
  builder_kernel(b, "copy", 3);
  builder_kernel(b, "param", 6);
  builder_image(b, MOE_ABI_IMAGE_CUBIN, "a cubin");
}

void build_fake_devices(builder *b) {
  build_fake(b);
  add_device(b, "sm_80", 80);
  builder_image(b, MOE_ABI_IMAGE_PTX, ".version 8.3");
  add_device(b, "sm_90a", 90);
}
