//===- safetensors.c - Tensors in files -----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "safetensors.h"
#include "alloc.h"
#include "file.h"
#include "sort.h"
#include "text.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct moe_st_file {
  char *path;
  moe_file_id id;
  bool is_on_disk;
  const uint8_t *map; // the whole file, where it is mapped
  moe_json_document *header;
  const moe_json *metadata;
  size_t metadata_index; // among the header's members; SIZE_MAX: none
  moe_st_tensor *tensors;
  size_t num_tensors;
};

static const struct {
  const char *name;
  int32_t type;
  uint32_t bits;
} dtypes[] = {
    {"F32", MOE_RT_F32, 32},      {"F16", MOE_RT_F16, 16},
    {"BF16", MOE_RT_BF16, 16},    {"I32", MOE_RT_I32, 32},
    {"I64", MOE_RT_I64, 64},      {"F64", MOE_RT_F64, 64},
    {"U8", MOE_RT_U8, 8},         {"BOOL", MOE_ST_OTHER, 8},
    {"I8", MOE_ST_OTHER, 8},      {"I16", MOE_ST_OTHER, 16},
    {"U16", MOE_ST_OTHER, 16},    {"U32", MOE_ST_OTHER, 32},
    {"U64", MOE_ST_OTHER, 64},    {"C64", MOE_ST_OTHER, 64},
    {"F8_E4M3", MOE_ST_OTHER, 8}, {"F8_E5M2", MOE_ST_OTHER, 8},
    {"F8_E8M0", MOE_ST_OTHER, 8}, {"F4", MOE_ST_OTHER, 4},
    {"F6_E2M3", MOE_ST_OTHER, 6}, {"F6_E3M2", MOE_ST_OTHER, 6},
};
enum { kNumDtypes = sizeof(dtypes) / sizeof(dtypes[0]) };

const char *moe_st_dtype_name(int32_t type) {
  return type >= 0 && type <= MOE_RT_U8 ? dtypes[type].name : NULL;
}

uint32_t moe_st_dtype_size(int32_t type) {
  return type >= 0 && type <= MOE_RT_U8 ? dtypes[type].bits / 8 : 0;
}

//===----------------------------------------------------------------------===//
// Header
//===----------------------------------------------------------------------===//

static moe_rt_status fail_tensor(moe_error *error, const moe_st_file *file,
                                 const char *name, const char *what) {
  return moe_fail(error, MOE_RT_BAD_FILE, "%s: tensor '%s': %s",
                  MOE_QP(file->path), MOE_Q(name), what);
}

static bool get_size(const moe_json *value, uint64_t *result) {
  return moe_json_is_integer(value) && moe_json_uint64(value, result);
}

static moe_rt_status read_tensor(moe_st_file *file, const moe_json_member *from,
                                 uint64_t data_size, moe_st_tensor *tensor,
                                 moe_error *error) {
  const char *name = from->key;
  const moe_json *info = &from->value;
  if (from->key_size == 0)
    return moe_fail(error, MOE_RT_BAD_FILE, "%s: a tensor without a name",
                    MOE_QP(file->path));
  if (memchr(name, 0, from->key_size))
    return fail_tensor(error, file, name, "name holds a NUL");
  tensor->name = name;
  if (!moe_json_is(info, MOE_JSON_OBJECT))
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: tensor '%s': expected an object, found %s",
                    MOE_QP(file->path), MOE_Q(name), moe_json_kind_name(info));

  const moe_json *dtype = moe_json_find(info, "dtype");
  size_t dtype_size;
  if (!moe_json_string(dtype, &tensor->dtype, &dtype_size))
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: tensor '%s': 'dtype' is %s, expected a string",
                    MOE_QP(file->path), MOE_Q(name), moe_json_kind_name(dtype));
  tensor->type = MOE_ST_OTHER;
  for (size_t i = 0; i < kNumDtypes; i++) {
    if (moe_json_equals(dtype, dtypes[i].name)) {
      tensor->type = dtypes[i].type;
      tensor->bits = dtypes[i].bits;
    }
  }

  const moe_json *shape = moe_json_find(info, "shape");
  if (!moe_json_is(shape, MOE_JSON_ARRAY))
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: tensor '%s': 'shape' is %s, expected an array",
                    MOE_QP(file->path), MOE_Q(name), moe_json_kind_name(shape));
  size_t rank = moe_json_size(shape);
  if (rank > MOE_ST_MAX_RANK)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: tensor '%s': rank is %zu, expected at most %d",
                    MOE_QP(file->path), MOE_Q(name), rank, MOE_ST_MAX_RANK);
  tensor->rank = (int32_t)rank;
  uint64_t elements = 1;
  bool overflows = false, empty = false;
  for (size_t i = 0; i < rank; i++) {
    if (!get_size(moe_json_at(shape, i), &tensor->shape[i]))
      return moe_fail(error, MOE_RT_BAD_FILE,
                      "%s: tensor '%s': 'shape' entry %zu is not a "
                      "non-negative integer",
                      MOE_QP(file->path), MOE_Q(name), i);
    // A zero anywhere makes the product zero, whatever the others are.
    empty |= tensor->shape[i] == 0;
    overflows |= !moe_mul(elements, tensor->shape[i], &elements);
  }
  if (empty)
    elements = 0;
  else if (overflows)
    return fail_tensor(error, file, name, "number of elements overflows");

  const moe_json *offsets = moe_json_find(info, "data_offsets");
  uint64_t end;
  if (!moe_json_is(offsets, MOE_JSON_ARRAY) || moe_json_size(offsets) != 2 ||
      !get_size(moe_json_at(offsets, 0), &tensor->begin) ||
      !get_size(moe_json_at(offsets, 1), &end))
    return fail_tensor(error, file, name,
                       "'data_offsets' is not two non-negative integers");
  if (end < tensor->begin || end > data_size)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: tensor '%s': data offsets %llu to %llu do not lie in "
                    "the %llu bytes of data",
                    MOE_QP(file->path), MOE_Q(name),
                    (unsigned long long)tensor->begin, (unsigned long long)end,
                    (unsigned long long)data_size);
  tensor->size_bytes = end - tensor->begin;
  if (tensor->bits) {
    uint64_t bits;
    if (!moe_mul(elements, tensor->bits, &bits) || bits % 8)
      return fail_tensor(error, file, name, "number of bytes overflows");
    if (bits / 8 != tensor->size_bytes)
      return moe_fail(error, MOE_RT_BAD_FILE,
                      "%s: tensor '%s': has %llu bytes of data, expected %llu "
                      "for its shape and dtype %s",
                      MOE_QP(file->path), MOE_Q(name),
                      (unsigned long long)tensor->size_bytes,
                      (unsigned long long)(bits / 8), tensor->dtype);
  }
  return MOE_RT_OK;
}

static int compare_ranges(const void *context, uint32_t a, uint32_t b) {
  const moe_st_tensor *tensors = context;
  if (tensors[a].begin != tensors[b].begin)
    return tensors[a].begin < tensors[b].begin ? -1 : 1;
  if (tensors[a].size_bytes != tensors[b].size_bytes)
    return tensors[a].size_bytes < tensors[b].size_bytes ? -1 : 1;
  return 0;
}

// The tensors' bytes must cover the data, each byte once.
static moe_rt_status check_cover(const moe_st_file *file, uint64_t data_size,
                                 moe_error *error) {
  size_t n = file->num_tensors;
  uint32_t *order = moe_alloc(2 * n * sizeof(*order));
  if (!order)
    return moe_fail_memory(error, file->path);
  for (size_t i = 0; i < n; i++)
    order[i] = (uint32_t)i;
  moe_sort(order, order + n, n, compare_ranges, file->tensors);
  uint64_t at = 0;
  moe_rt_status status = MOE_RT_OK;
  for (size_t i = 0; i < n && !status; i++) {
    const moe_st_tensor *tensor = &file->tensors[order[i]];
    if (tensor->begin < at)
      status = fail_tensor(error, file, tensor->name,
                           "data overlaps another tensor's");
    else if (tensor->begin > at)
      status =
          moe_fail(error, MOE_RT_BAD_FILE,
                   "%s: tensor '%s': bytes %llu to %llu before its data "
                   "belong to no tensor",
                   MOE_QP(file->path), MOE_Q(tensor->name),
                   (unsigned long long)at, (unsigned long long)tensor->begin);
    at = tensor->begin + tensor->size_bytes;
  }
  moe_free(order);
  if (!status && at != data_size)
    status = moe_fail(error, MOE_RT_BAD_FILE,
                      "%s: bytes %llu to %llu of the data belong to no tensor",
                      MOE_QP(file->path), (unsigned long long)at,
                      (unsigned long long)data_size);
  return status;
}

static moe_rt_status read_metadata(moe_st_file *file, const moe_json *value,
                                   moe_error *error) {
  if (!moe_json_is(value, MOE_JSON_OBJECT))
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: '__metadata__' is %s, expected an object",
                    MOE_QP(file->path), moe_json_kind_name(value));
  for (size_t i = 0; i < moe_json_size(value); i++) {
    const moe_json_member *member = moe_json_member_at(value, i);
    if (!moe_json_is(&member->value, MOE_JSON_STRING))
      return moe_fail(error, MOE_RT_BAD_FILE,
                      "%s: '__metadata__' entry '%s' is %s, expected a string",
                      MOE_QP(file->path), MOE_QN(member->key, member->key_size),
                      moe_json_kind_name(&member->value));
  }
  file->metadata = value;
  return MOE_RT_OK;
}

static moe_rt_status read_header(moe_st_file *file, const char *text,
                                 size_t size, uint64_t data_size,
                                 moe_error *error) {
  // Spaces pad the header, and nothing else does.
  while (size > 0 && text[size - 1] == ' ')
    size--;
  if (size == 0 || text[0] != '{')
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: header does not start with '{'", MOE_QP(file->path));
  if (text[size - 1] != '}')
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: header does not end with '}' and spaces",
                    MOE_QP(file->path));
  moe_rt_status status = moe_json_parse(
      text, size, file->path, MOE_ST_MAX_HEADER, 0, &file->header, error);
  if (status)
    return status;
  const moe_json *root = moe_json_root(file->header);
  size_t n = moe_json_size(root);
  file->tensors = moe_zalloc(n, sizeof(*file->tensors));
  if (!file->tensors)
    return moe_fail_memory(error, file->path);
  file->metadata_index = SIZE_MAX;
  for (size_t i = 0; i < n; i++) {
    const moe_json_member *member = moe_json_member_at(root, i);
    if (!strcmp(member->key, "__metadata__") && member->key_size == 12) {
      file->metadata_index = i;
      status = read_metadata(file, &member->value, error);
    } else {
      status = read_tensor(file, member, data_size,
                           &file->tensors[file->num_tensors], error);
      file->num_tensors++;
    }
    if (status)
      return status;
  }
  return check_cover(file, data_size, error);
}

// What the first bytes of a file that is something else look like.
static const char *guess_kind(const uint8_t *head, size_t size) {
  if (size >= 8 && !memcmp(head, "version ", 8))
    return " (a git-lfs pointer? fetch the file itself)";
  if (size >= 4 && !memcmp(head, "GGUF", 4))
    return " (a GGUF file?)";
  if (size >= 4 && !memcmp(head, "PK\3\4", 4))
    return " (a zip or PyTorch file?)";
  if (size >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5)
    return " (a pickle?)";
  return "";
}

static moe_rt_status check_length(const moe_st_file *file, const uint8_t *head,
                                  uint64_t file_size, uint64_t *header_size,
                                  moe_error *error) {
  if (file_size < 8)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: is %llu bytes long, too short for a safetensors file",
                    MOE_QP(file->path), (unsigned long long)file_size);
  uint64_t size = 0;
  for (int i = 7; i >= 0; i--)
    size = size << 8 | head[i];
  if (size > MOE_ST_MAX_HEADER)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: not a safetensors file: header of %llu bytes, "
                    "expected at most %llu%s",
                    MOE_QP(file->path), (unsigned long long)size,
                    (unsigned long long)MOE_ST_MAX_HEADER, guess_kind(head, 8));
  if (size > file_size - 8)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: header of %llu bytes, but only %llu follow",
                    MOE_QP(file->path), (unsigned long long)size,
                    (unsigned long long)(file_size - 8));
  if (size < 2)
    return moe_fail(error, MOE_RT_BAD_FILE, "%s: header is empty",
                    MOE_QP(file->path));
  *header_size = size;
  return MOE_RT_OK;
}

static moe_st_file *new_file(const char *path) {
  moe_st_file *file = moe_zalloc(1, sizeof(*file));
  size_t n = strlen(path) + 1;
  char *copy = moe_alloc(n);
  if (!file || !copy) {
    moe_free(file);
    moe_free(copy);
    return NULL;
  }
  memcpy(copy, path, n);
  file->path = copy;
  return file;
}

static void set_data(moe_st_file *file, const uint8_t *data) {
  for (size_t i = 0; i < file->num_tensors; i++)
    if (file->tensors[i].size_bytes)
      file->tensors[i].data = data + file->tensors[i].begin;
}

static moe_rt_status open_file(moe_st_file *file, int fd, unsigned flags,
                               moe_error *error) {
  uint8_t head[8] = {0};
  uint64_t file_size = file->id.size_bytes, header_size;
  moe_rt_status status;
  if (file_size >= 8 &&
      (status = moe_file_pread(fd, file->path, head, 8, 0, error)))
    return status;
  status = check_length(file, head, file_size, &header_size, error);
  if (status)
    return status;
  // Owned memory: a mapped file may change between check and use.
  char *text = moe_alloc(header_size);
  if (!text)
    return moe_fail_memory(error, file->path);
  status = moe_file_pread(fd, file->path, text, header_size, 8, error);
  if (!status)
    status = read_header(file, text, header_size, file_size - 8 - header_size,
                         error);
  moe_free(text);
  if (status || (flags & MOE_ST_HEADERS_ONLY))
    return status;
  status = moe_file_map(fd, file->path, file_size, &file->map, error);
  if (!status)
    set_data(file, file->map + 8 + header_size);
  return status;
}

moe_rt_status moe_st_open(const char *path, unsigned flags, moe_st_file **file,
                          moe_error *error) {
  moe_st_file *result = new_file(path);
  if (!result)
    return moe_fail_memory(error, path);
  int fd;
  moe_rt_status status = moe_file_open(path, &fd, &result->id, error);
  if (!status) {
    result->is_on_disk = true;
    status = open_file(result, fd, flags, error);
    close(fd);
  }
  if (status) {
    moe_st_close(result);
    return status;
  }
  *file = result;
  return MOE_RT_OK;
}

moe_rt_status moe_st_parse(const void *bytes, size_t size, const char *name,
                           moe_st_file **file, moe_error *error) {
  moe_st_file *result = new_file(name);
  if (!result)
    return moe_fail_memory(error, name);
  uint64_t header_size;
  moe_rt_status status = check_length(result, bytes, size, &header_size, error);
  if (!status)
    status = read_header(result, (const char *)bytes + 8, header_size,
                         size - 8 - header_size, error);
  if (status) {
    moe_st_close(result);
    return status;
  }
  set_data(result, (const uint8_t *)bytes + 8 + header_size);
  *file = result;
  return MOE_RT_OK;
}

void moe_st_close(moe_st_file *file) {
  if (!file)
    return;
  moe_file_unmap(file->map, file->id.size_bytes);
  moe_json_free(file->header);
  moe_free(file->tensors);
  moe_free(file->path);
  moe_free(file);
}

const char *moe_st_path(const moe_st_file *file) { return file->path; }

size_t moe_st_count(const moe_st_file *file) { return file->num_tensors; }

const moe_st_tensor *moe_st_at(const moe_st_file *file, size_t index) {
  return index < file->num_tensors ? &file->tensors[index] : NULL;
}

const moe_st_tensor *moe_st_find(const moe_st_file *file, const char *name) {
  const moe_json *root = moe_json_root(file->header);
  const moe_json *value = moe_json_find(root, name);
  if (!value)
    return NULL;
  // `value` lies within the member: its index gives the tensor's.
  const moe_json_member *first = moe_json_member_at(root, 0);
  size_t index = (size_t)((const char *)value - (const char *)&first->value) /
                 sizeof(moe_json_member);
  if (index == file->metadata_index)
    return NULL;
  return &file->tensors[index > file->metadata_index ? index - 1 : index];
}

const moe_json *moe_st_metadata(const moe_st_file *file) {
  return file->metadata;
}

moe_rt_status moe_st_unchanged(const moe_st_file *file, moe_error *error) {
  return file->is_on_disk ? moe_file_unchanged(file->path, &file->id, error)
                          : MOE_RT_OK;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static moe_rt_status entry_bytes(const char *path, const moe_st_entry *entry,
                                 uint64_t *size_bytes, moe_error *error) {
  uint32_t bits = 0;
  for (size_t i = 0; i < kNumDtypes; i++)
    if (!strcmp(entry->dtype, dtypes[i].name))
      bits = dtypes[i].bits;
  if (!bits)
    return moe_fail(error, MOE_RT_INVALID_ARGUMENT,
                    "%s: tensor '%s': unknown dtype '%s'", MOE_QP(path),
                    MOE_Q(entry->name), MOE_Q(entry->dtype));
  if (entry->rank < 0 || entry->rank > MOE_ST_MAX_RANK)
    return moe_fail(error, MOE_RT_INVALID_ARGUMENT,
                    "%s: tensor '%s': rank is %d, expected 0 to %d",
                    MOE_QP(path), MOE_Q(entry->name), (int)entry->rank,
                    MOE_ST_MAX_RANK);
  uint64_t total = bits;
  bool fits = true, empty = false;
  for (int32_t i = 0; i < entry->rank; i++) {
    if (entry->shape[i] < 0)
      return moe_fail(error, MOE_RT_INVALID_ARGUMENT,
                      "%s: tensor '%s': size %d is %lld, expected at least 0",
                      MOE_QP(path), MOE_Q(entry->name), (int)i,
                      (long long)entry->shape[i]);
    empty |= entry->shape[i] == 0;
    fits &= moe_mul(total, (uint64_t)entry->shape[i], &total);
  }
  if (empty)
    total = 0;
  else if (!fits || total % 8)
    return moe_fail(error, MOE_RT_INVALID_ARGUMENT,
                    "%s: tensor '%s': number of bytes overflows", MOE_QP(path),
                    MOE_Q(entry->name));
  *size_bytes = total / 8;
  return MOE_RT_OK;
}

static bool is_utf8(const char *string) {
  size_t n = strlen(string);
  for (size_t i = 0; i < n;) {
    size_t length = moe_utf8_length(string + i, n - i);
    if (!length)
      return false;
    i += length;
  }
  return true;
}

static int compare_entries(const void *context, uint32_t a, uint32_t b) {
  const moe_st_entry *entries = context;
  return strcmp(entries[a].name, entries[b].name);
}

// Names that a reader would refuse.
static moe_rt_status check_names(const char *path, const moe_st_entry *entries,
                                 size_t n, moe_error *error) {
  for (size_t i = 0; i < n; i++)
    if (!entries[i].name[0] || !is_utf8(entries[i].name) ||
        !strcmp(entries[i].name, "__metadata__"))
      return moe_fail(error, MOE_RT_INVALID_ARGUMENT,
                      "%s: '%s' cannot name a tensor", MOE_QP(path),
                      MOE_Q(entries[i].name));
  uint32_t *order = n <= UINT32_MAX ? moe_alloc(2 * n * sizeof(*order)) : NULL;
  if (!order)
    return moe_fail_memory(error, path);
  for (size_t i = 0; i < n; i++)
    order[i] = (uint32_t)i;
  moe_sort(order, order + n, n, compare_entries, entries);
  moe_rt_status status = MOE_RT_OK;
  for (size_t i = 1; i < n && !status; i++)
    if (!strcmp(entries[order[i - 1]].name, entries[order[i]].name))
      status = moe_fail(error, MOE_RT_INVALID_ARGUMENT,
                        "%s: two tensors are named '%s'", MOE_QP(path),
                        MOE_Q(entries[order[i]].name));
  moe_free(order);
  return status;
}

static moe_rt_status add_entry(const char *path, const moe_st_entry *entry,
                               uint64_t *offset, moe_file_part *part,
                               moe_text *header, moe_error *error) {
  uint64_t size = 0, end;
  moe_rt_status status = entry_bytes(path, entry, &size, error);
  if (status)
    return status;
  if (!moe_add(*offset, size, &end))
    return moe_fail(error, MOE_RT_INVALID_ARGUMENT,
                    "%s: number of bytes overflows", MOE_QP(path));
  moe_text_json(header, entry->name, strlen(entry->name));
  moe_text_printf(header, ":{\"dtype\":\"%s\",\"shape\":[", entry->dtype);
  for (int32_t i = 0; i < entry->rank; i++)
    moe_text_printf(header, "%s%lld", i ? "," : "", (long long)entry->shape[i]);
  moe_text_printf(header, "],\"data_offsets\":[%llu,%llu]}",
                  (unsigned long long)*offset, (unsigned long long)end);
  *part = (moe_file_part){entry->data, size};
  *offset = end;
  return MOE_RT_OK;
}

moe_rt_status moe_st_write(const char *path, const moe_st_entry *entries,
                           size_t num_entries, const char *const *metadata,
                           size_t num_metadata, moe_error *error) {
  moe_rt_status status = check_names(path, entries, num_entries, error);
  if (status)
    return status;
  moe_file_part *parts = moe_zalloc(num_entries + 1, sizeof(*parts));
  if (!parts)
    return moe_fail_memory(error, path);
  moe_text header = {0};
  uint64_t offset = 0;
  moe_text_add(&header, "\0\0\0\0\0\0\0\0{", 9);
  if (num_metadata) {
    moe_text_puts(&header, "\"__metadata__\":{");
    for (size_t i = 0; i < num_metadata; i++) {
      if (i)
        moe_text_puts(&header, ",");
      moe_text_json(&header, metadata[2 * i], strlen(metadata[2 * i]));
      moe_text_puts(&header, ":");
      moe_text_json(&header, metadata[2 * i + 1], strlen(metadata[2 * i + 1]));
    }
    moe_text_puts(&header, "}");
  }
  for (size_t i = 0; i < num_entries && !status; i++) {
    if (i || num_metadata)
      moe_text_puts(&header, ",");
    status =
        add_entry(path, &entries[i], &offset, &parts[i + 1], &header, error);
  }
  moe_text_puts(&header, "}");
  // Data starts on a multiple of 8.
  while (!header.failed && header.size % 8)
    moe_text_puts(&header, " ");
  if (!status && header.failed)
    status = moe_fail_memory(error, path);
  if (!status && header.size - 8 > MOE_ST_MAX_HEADER)
    status =
        moe_fail(error, MOE_RT_INVALID_ARGUMENT,
                 "%s: header of %zu bytes, expected at most %llu", MOE_QP(path),
                 header.size - 8, (unsigned long long)MOE_ST_MAX_HEADER);
  if (!status) {
    for (int i = 0; i < 8; i++)
      header.data[i] = (char)((header.size - 8) >> (8 * i));
    parts[0] = (moe_file_part){header.data, header.size};
    status = moe_file_write(path, parts, num_entries + 1, error);
  }
  moe_free(header.data);
  moe_free(parts);
  return status;
}

//===----------------------------------------------------------------------===//
// Checkpoints
//===----------------------------------------------------------------------===//

typedef struct {
  const moe_st_tensor *tensor;
  const moe_st_file *file;
} located;

struct moe_checkpoint {
  char *path;
  moe_st_file **files;
  size_t num_files;
  /// With an index: where each entry of its weight_map is.
  moe_json_document *index;
  const moe_json *weight_map;
  located *tensors;
};

static moe_rt_status check_shard_name(const char *path, const char *tensor,
                                      const moe_json *value, moe_error *error) {
  const char *name, *why = NULL;
  size_t size;
  if (!moe_json_string(value, &name, &size))
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: shard of tensor '%s' is %s, expected a file name",
                    MOE_QP(path), MOE_Q(tensor), moe_json_kind_name(value));
  if (size == 0)
    why = "is empty";
  else if (memchr(name, 0, size))
    why = "holds a NUL";
  else if (name[0] == '/' || name[0] == '\\')
    why = "is absolute";
  else if (strstr(name, "://"))
    why = "is a URL";
  else if (size > 1024)
    why = "is too long";
  for (const char *part = name; !why && part;) {
    const char *slash = strchr(part, '/');
    size_t n = slash ? (size_t)(slash - part) : strlen(part);
    if (n == 2 && part[0] == '.' && part[1] == '.')
      why = "leaves the directory";
    part = slash ? slash + 1 : NULL;
  }
  if (why)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: tensor '%s': shard name '%s' %s", MOE_QP(path),
                    MOE_Q(tensor), MOE_QN(name, size), why);
  return MOE_RT_OK;
}

static int compare_shards(const void *context, uint32_t a, uint32_t b) {
  const moe_json_member *members = context;
  return strcmp(members[a].value.as.string, members[b].value.as.string);
}

// The folder that `path` lies in, with its slash.
static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  size_t n = slash ? (size_t)(slash - path) + 1 : 0;
  char *folder = moe_alloc(n + 1);
  if (!folder)
    return NULL;
  memcpy(folder, path, n);
  folder[n] = 0;
  return folder;
}

static moe_rt_status locate(moe_checkpoint *checkpoint, const char *index_path,
                            const uint32_t *order, const char *folder,
                            unsigned flags, moe_error *error) {
  const moe_json *map = checkpoint->weight_map;
  size_t n = moe_json_size(map);
  const char *last = NULL;
  moe_st_file *file = NULL;
  for (size_t i = 0; i < n; i++) {
    const moe_json_member *member = moe_json_member_at(map, order[i]);
    const char *shard = member->value.as.string;
    if (!last || strcmp(last, shard)) {
      char *path = moe_file_join(folder, shard);
      if (!path)
        return moe_fail_memory(error, index_path);
      moe_rt_status status = moe_st_open(path, flags, &file, error);
      moe_free(path);
      if (status)
        return status;
      checkpoint->files[checkpoint->num_files++] = file;
      last = shard;
    }
    const moe_st_tensor *tensor = moe_st_find(file, member->key);
    if (!tensor || strlen(member->key) != member->key_size)
      return moe_fail(error, MOE_RT_BAD_FILE,
                      "%s: tensor '%s' is missing, but '%s' says it is there",
                      MOE_QP(moe_st_path(file)),
                      MOE_QN(member->key, member->key_size),
                      MOE_QP(index_path));
    checkpoint->tensors[order[i]] = (located){tensor, file};
  }
  return MOE_RT_OK;
}

static moe_rt_status open_index(moe_checkpoint *checkpoint, const char *path,
                                unsigned flags, moe_error *error) {
  moe_rt_status status =
      moe_json_read(path, MOE_ST_MAX_HEADER, &checkpoint->index, error);
  if (status)
    return status;
  const moe_json *root = moe_json_root(checkpoint->index);
  const moe_json *map = moe_json_find(root, "weight_map");
  if (!moe_json_is(map, MOE_JSON_OBJECT))
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: 'weight_map' is %s, expected an object", MOE_QP(path),
                    moe_json_kind_name(map));
  size_t n = moe_json_size(map);
  for (size_t i = 0; i < n; i++) {
    const moe_json_member *member = moe_json_member_at(map, i);
    status = check_shard_name(path, member->key, &member->value, error);
    if (status)
      return status;
  }
  uint32_t *order = moe_alloc(2 * n * sizeof(*order));
  char *folder = folder_of(path);
  size_t num_shards = 0;
  if (order && folder) {
    for (size_t i = 0; i < n; i++)
      order[i] = (uint32_t)i;
    const moe_json_member *members = moe_json_member_at(map, 0);
    moe_sort(order, order + n, n, compare_shards, members);
    for (size_t i = 0; i < n; i++)
      if (i == 0 || compare_shards(members, order[i - 1], order[i]))
        num_shards++;
    checkpoint->files = moe_zalloc(num_shards, sizeof(*checkpoint->files));
    checkpoint->tensors = moe_zalloc(n, sizeof(*checkpoint->tensors));
  }
  checkpoint->weight_map = map;
  if (!checkpoint->files || !checkpoint->tensors)
    status = moe_fail_memory(error, path);
  else
    status = locate(checkpoint, path, order, folder, flags, error);
  moe_free(order);
  moe_free(folder);
  return status;
}

static moe_rt_status open_single(moe_checkpoint *checkpoint, const char *path,
                                 unsigned flags, moe_error *error) {
  checkpoint->files = moe_zalloc(1, sizeof(*checkpoint->files));
  if (!checkpoint->files)
    return moe_fail_memory(error, path);
  moe_rt_status status = moe_st_open(path, flags, &checkpoint->files[0], error);
  if (!status)
    checkpoint->num_files = 1;
  return status;
}

static bool ends_with(const char *string, const char *end) {
  size_t n = strlen(string), m = strlen(end);
  return n >= m && !strcmp(string + n - m, end);
}

moe_rt_status moe_checkpoint_open(const char *path, unsigned flags,
                                  moe_checkpoint **checkpoint,
                                  moe_error *error) {
  moe_checkpoint *result = moe_zalloc(1, sizeof(*result));
  char *copy = moe_file_join("", path);
  char *single = moe_file_join(path, "model.safetensors");
  char *index = moe_file_join(path, "model.safetensors.index.json");
  moe_rt_status status;
  if (!result || !copy || !single || !index) {
    moe_free(result);
    moe_free(copy);
    moe_free(single);
    moe_free(index);
    return moe_fail_memory(error, path);
  }
  result->path = copy;
  bool is_directory = false;
  status = moe_file_is_directory(path, &is_directory, error);
  if (status)
    ;
  else if (!is_directory)
    status = ends_with(path, ".json") ? open_index(result, path, flags, error)
                                      : open_single(result, path, flags, error);
  else if (moe_file_exists(single))
    status = open_single(result, single, flags, error);
  else if (moe_file_exists(index))
    status = open_index(result, index, flags, error);
  else
    status = moe_fail(error, MOE_RT_NOT_FOUND,
                      "%s: has neither model.safetensors nor "
                      "model.safetensors.index.json",
                      MOE_QP(path));
  moe_free(single);
  moe_free(index);
  if (status) {
    moe_checkpoint_close(result);
    return status;
  }
  *checkpoint = result;
  return MOE_RT_OK;
}

void moe_checkpoint_close(moe_checkpoint *checkpoint) {
  if (!checkpoint)
    return;
  for (size_t i = 0; i < checkpoint->num_files; i++)
    moe_st_close(checkpoint->files[i]);
  moe_free(checkpoint->files);
  moe_free(checkpoint->tensors);
  moe_json_free(checkpoint->index);
  moe_free(checkpoint->path);
  moe_free(checkpoint);
}

const char *moe_checkpoint_path(const moe_checkpoint *checkpoint) {
  return checkpoint->path;
}

size_t moe_checkpoint_count(const moe_checkpoint *checkpoint) {
  return checkpoint->index ? moe_json_size(checkpoint->weight_map)
                           : moe_st_count(checkpoint->files[0]);
}

const moe_st_tensor *moe_checkpoint_at(const moe_checkpoint *checkpoint,
                                       size_t index) {
  if (index >= moe_checkpoint_count(checkpoint))
    return NULL;
  return checkpoint->index ? checkpoint->tensors[index].tensor
                           : moe_st_at(checkpoint->files[0], index);
}

const moe_st_tensor *moe_checkpoint_find(const moe_checkpoint *checkpoint,
                                         const char *name,
                                         const moe_st_file **file) {
  located found = {NULL, NULL};
  if (checkpoint->index) {
    const moe_json *value = moe_json_find(checkpoint->weight_map, name);
    if (!value)
      return NULL;
    const moe_json_member *first =
        moe_json_member_at(checkpoint->weight_map, 0);
    size_t index = (size_t)((const char *)value - (const char *)&first->value) /
                   sizeof(moe_json_member);
    found = checkpoint->tensors[index];
  } else {
    found.file = checkpoint->files[0];
    found.tensor = moe_st_find(found.file, name);
  }
  if (found.tensor && file)
    *file = found.file;
  return found.tensor;
}

moe_rt_status moe_checkpoint_unchanged(const moe_checkpoint *checkpoint,
                                       moe_error *error) {
  for (size_t i = 0; i < checkpoint->num_files; i++) {
    moe_rt_status status = moe_st_unchanged(checkpoint->files[i], error);
    if (status)
      return status;
  }
  return MOE_RT_OK;
}
