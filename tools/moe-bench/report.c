//===- report.c - Results as text -----------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe-bench.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
  double gflops, gbps, roofline, peak, read;
} figures;

/// NaN where something is not known.
static figures compute(const bench_row *row) {
  figures f = {NAN, NAN, NAN, NAN, NAN};
  if (row->limits.fma_flops > 0)
    f.peak = 1e-9 * row->limits.fma_flops;
  if (row->limits.read_bytes > 0)
    f.read = 1e-9 * row->limits.read_bytes;
  if (!row->is_estimated)
    return f;
  f.gflops = 1e-9 * row->work.flops / row->median_s;
  f.gbps = 1e-9 * row->work.bytes / row->median_s;
  f.roofline = 100 * fmax(f.gflops / f.peak, f.gbps / f.read);
  if (isnan(f.peak) || isnan(f.read))
    f.roofline = NAN;
  return f;
}

static void put_number(moe_text *text, const char *format, double value,
                       const char *unknown) {
  if (!isfinite(value))
    moe_text_puts(text, unknown);
  else if (!strcmp(format, "%.4f"))
    moe_text_printf(text, "%.4f", value);
  else if (!strcmp(format, "%.1f"))
    moe_text_printf(text, "%.1f", value);
  else
    moe_text_printf(text, "%.6g", value);
}

/// A number that has no meaning on a GPU.
static void put_cpu_number(moe_text *t, const bench_row *row, int64_t value,
                           const char *none) {
  if (row->device)
    moe_text_puts(t, none);
  else
    moe_text_printf(t, "%lld", (long long)value);
}

static const char *calls_of(const bench_row *row) {
  return row->is_captured ? "graph" : "stream";
}

static void put_json(moe_text *t, const bench_row *row) {
  figures f = compute(row);
  moe_text_puts(t, "{\"function\": ");
  moe_text_json(t, row->function, strlen(row->function));
  moe_text_printf(t,
                  ", \"tokens\": %lld, \"threads\": ", (long long)row->tokens);
  put_cpu_number(t, row, row->threads, "null");
  const struct {
    const char *key;
    double value;
  } entries[] = {
      {"median_ms", 1e3 * row->median_s},
      {"min_ms", 1e3 * row->min_s},
      {"gflops", f.gflops},
      {"gbps", f.gbps},
      {"roofline_percent", f.roofline},
      {"fma_peak_gflops", f.peak},
      {"read_gbps", f.read},
      {"experts_hit", row->experts_hit < 0 ? (double)NAN : row->experts_hit}};
  for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
    moe_text_printf(t, ", \"%s\": ", entries[i].key);
    put_number(t, "", entries[i].value, "null");
  }
  moe_text_printf(t, ", \"repeats\": %zu, \"level\": ", row->repeats);
  put_cpu_number(t, row, row->level, "null");
  const bench_device *d = row->device;
  if (d) {
    moe_text_printf(t, ", \"emulated\": %s, \"calls\": \"%s\", \"code\": ",
                    d->is_emulated ? "true" : "false", calls_of(row));
    moe_text_json(t, d->code, strlen(d->code));
    moe_text_printf(t, ", \"precision\": \"%s\", \"device\": ", d->precision);
    moe_text_json(t, d->name, strlen(d->name));
  }
  moe_text_puts(t, "}");
}

/// Names of functions come from the module, those of GPUs from the driver.
static void put_csv_text(moe_text *t, const char *text) {
  moe_text_puts(t, "\"");
  for (const char *c = text; *c; c++)
    moe_text_add(t, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
  moe_text_puts(t, "\"");
}

static void put_csv(moe_text *t, const bench_row *row) {
  figures f = compute(row);
  put_csv_text(t, row->function);
  moe_text_printf(t, ",%lld,", (long long)row->tokens);
  put_cpu_number(t, row, row->threads, "");
  const double values[] = {1e3 * row->median_s,
                           1e3 * row->min_s,
                           f.gflops,
                           f.gbps,
                           f.roofline,
                           f.peak,
                           f.read,
                           row->experts_hit < 0 ? (double)NAN
                                                : row->experts_hit};
  for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
    moe_text_puts(t, ",");
    put_number(t, "", values[i], "");
  }
  moe_text_printf(t, ",%zu,", row->repeats);
  put_cpu_number(t, row, row->level, "");
  const bench_device *d = row->device;
  if (d) {
    moe_text_printf(t, ",%s,%s,", d->is_emulated ? "true" : "false",
                    calls_of(row));
    put_csv_text(t, d->code);
    moe_text_printf(t, ",%s,", d->precision);
    put_csv_text(t, d->name);
  }
  moe_text_puts(t, "\n");
}

static void put_md(moe_text *t, const bench_row *row) {
  figures f = compute(row);
  moe_text_puts(t, "| ");
  moe_text_puts(t, MOE_Q(row->function));
  moe_text_printf(t, " | %lld | ", (long long)row->tokens);
  put_cpu_number(t, row, row->threads, "-");
  const struct {
    const char *format;
    double value;
  } entries[] = {
      {"%.1f", row->experts_hit < 0 ? (double)NAN : row->experts_hit},
      {"%.4f", 1e3 * row->median_s},
      {"%.4f", 1e3 * row->min_s},
      {"%.1f", f.gflops},
      {"%.1f", f.gbps},
      {"%.1f", f.roofline},
      {"%.1f", f.peak},
      {"%.1f", f.read}};
  for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
    moe_text_puts(t, " | ");
    put_number(t, entries[i].format, entries[i].value, "-");
  }
  moe_text_printf(t, " | %zu |\n", row->repeats);
}

/// Below the table, what its rows have in common.
static void put_device(moe_text *t, const bench_row *row) {
  const bench_device *d = row->device;
  moe_text_puts(t, "\n");
  moe_text_puts(t, d->name);
  if (d->is_emulated)
    moe_text_puts(t, " (times mean nothing)");
  moe_text_puts(t, ", code for ");
  moe_text_puts(t, MOE_Q(d->code));
  moe_text_printf(t, ", products and peak in %s, ", d->precision);
  moe_text_puts(t, row->is_captured ? "replays of captured calls" : "calls");
  moe_text_puts(t, " in device memory\n");
}

void bench_report(const bench_options *options, const bench_row *rows,
                  size_t count, moe_text *text) {
  bool json = !strcmp(options->format, "json");
  bool jsonl = !strcmp(options->format, "jsonl");
  bool csv = !strcmp(options->format, "csv");
  if (json)
    moe_text_puts(text, "[\n");
  else if (csv)
    moe_text_printf(text,
                    "function,tokens,threads,median_ms,min_ms,gflops,gbps,"
                    "roofline_percent,fma_peak_gflops,read_gbps,"
                    "experts_hit,repeats,level%s\n",
                    rows->device ? ",emulated,calls,code,precision,device"
                                 : "");
  else if (!jsonl)
    moe_text_puts(
        text, "| function | tokens | threads | experts hit | median ms | min "
              "ms | GFLOP/s | GB/s | % of roofline | peak GFLOP/s | read GB/s "
              "| runs |\n"
              "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
  for (size_t i = 0; i < count; i++) {
    if (csv) {
      put_csv(text, &rows[i]);
    } else if (json || jsonl) {
      moe_text_puts(text, json ? "  " : "");
      put_json(text, &rows[i]);
      moe_text_puts(text, json && i + 1 < count ? ",\n" : "\n");
    } else {
      put_md(text, &rows[i]);
    }
  }
  if (json)
    moe_text_puts(text, "]\n");
  if (!json && !jsonl && !csv && rows->device)
    put_device(text, rows);
}
