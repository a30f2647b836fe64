#pragma once

#include <cstddef>
#include <cstring>
#include <span>

#include <rota/core/crc64.hpp>
#include <rota/store/verify.hpp>

// The saved form of a packed store: what may be written to a file or sent, and is checked before it
// is used. Memory in, memory out: files are the engine's business.
//
//   saved_header | packed store whose tail is just as long as its tokens | nothing else
//
// It is canonical: the same tokens in the same records give the same bytes, whatever lay in padding
// and in the unused tail. Numbers are in the byte order of the machine that saved.

namespace rota {

/// Who made a store, and of what: it is restored only where both are the same.
struct saved_identity {
  std::uint64_t policies = 0;  ///< attention<...>::fingerprint(), or one that an engine made of it
  std::uint64_t model = 0;     ///< the engine's name for the weights
};

struct saved_header {
  char magic[8];
  std::uint32_t version;
  std::uint32_t byte_order;
  std::uint64_t bytes;  ///< of the whole saved form
  std::uint64_t policies;
  std::uint64_t model;
  std::int32_t tail_capacity;  ///< of the store that was saved
  std::uint32_t reserved[3];
  std::uint64_t checksum;  ///< CRC-64/XZ of all bytes before and after this field
};
static_assert(sizeof(saved_header) == 64 && sizeof(saved_header) % record_alignment == 0);

inline constexpr char saved_magic[8] = {'R', 'O', 'T', 'A', 'S', 'A', 'V', 'E'};
inline constexpr std::uint32_t saved_version = 1;
inline constexpr std::uint32_t saved_byte_order = 0x01020304;

namespace detail {

/// What can be saved.
template <class Store>
inline constexpr bool is_packed = false;
template <codec E, int W>
inline constexpr bool is_packed<packed_store<E, W>> = true;

inline std::uint64_t checksum_of(std::span<const std::byte> saved) {
  const std::uint64_t head = crc64(saved.data(), offsetof(saved_header, checksum));
  return crc64(saved.data() + sizeof(saved_header), saved.size() - sizeof(saved_header), head);
}

/// The header of the store as it is saved: records close together, no room in the tail.
template <codec E, int W>
packed_header saved_store_header(const packed_store<E, W>& store) {
  const packed_header& h = store.header();
  packed_shape shape = shape_of(h, codec_traits<E>::sizes);
  shape.tail_capacity = h.tail_count;
  index_t bytes = 0;
  for (std::uint64_t i = 0; i < h.record_count; ++i)
    bytes += static_cast<index_t>(
        reinterpret_cast<const record_header*>(store.data + store.record_offsets()[i])->bytes);
  packed_header saved = layout_packed(shape, static_cast<index_t>(h.record_count), bytes);
  saved.tail_count = h.tail_count;
  saved.next_position = h.next_position;
  return saved;
}

/// Copies the sections of a record; what lies between them stays as it is. Returns its bytes.
inline std::uint64_t copy_record(const packed_shape& s, const std::byte* from, std::byte* to) {
  record_header r;
  std::memcpy(&r, from, sizeof r);
  r.reserved = 0;
  const auto order = static_cast<value_order>(r.order);
  const record_layout at = layout_record(s.record, order, r.tokens, r.slices);
  index_t index_end = at.positions + 4 * r.tokens;
  if (order == value_order::token_major) index_end = at.starts + 2 * (r.tokens + 1);
  if (order == value_order::group_major) index_end = at.members + r.slices;
  const auto copy_section = [&](index_t begin, index_t bytes) {
    std::memcpy(to + begin, from + begin, static_cast<std::size_t>(bytes));
  };
  std::memcpy(to, &r, sizeof r);
  copy_section(at.positions, index_end - at.positions);
  if (at.key_scales != 0) copy_section(at.key_scales, r.tokens * s.record.sizes.key_scale);
  if (at.value_scales != 0) copy_section(at.value_scales, r.slices * s.record.sizes.value_scale);
  copy_section(at.keys, r.tokens * s.record.key_bytes());
  if (at.codes != 0) copy_section(at.codes, r.tokens * s.record.code_bytes());
  copy_section(at.values, r.slices * s.record.slice_bytes());
  return r.bytes;
}

/// Copies the tail's rows between stores of one shape whose tails have different capacities.
template <codec E, int W>
void copy_tail(const packed_store<E, W>& from, const packed_store<E, W>& to) {
  const auto rows = static_cast<std::size_t>(from.tail_count());
  if (rows == 0) return;
  constexpr codec_sizes sizes = codec_traits<E>::sizes;
  for (index_t h = 0; h < from.kv_heads(); ++h) {
    const auto d_k = static_cast<std::size_t>(from.d_k()),
               d_v = static_cast<std::size_t>(from.d_v());
    std::memcpy(to.tail_key(h, 0), from.tail_key(h, 0), rows * d_k * sizes.key);
    std::memcpy(to.tail_value(h, 0), from.tail_value(h, 0), rows * d_v * sizes.value);
    if (sizes.key_scale > 0)
      std::memcpy(to.tail_key_scale(h, 0), from.tail_key_scale(h, 0), rows * sizes.key_scale);
    if (sizes.value_scale > 0)
      std::memcpy(to.tail_value_scales(h, 0), from.tail_value_scales(h, 0),
                  rows * (d_v / W) * sizes.value_scale);
  }
}

/// Writes the store as `header`, of saved_store_header(), lays it out, into zeroed memory.
template <codec E, int W>
void write_saved_store(const packed_store<E, W>& store, const packed_header& header,
                       std::byte* memory) {
  const packed_shape shape = shape_of(header, codec_traits<E>::sizes);
  std::memcpy(memory, &header, sizeof header);
  const auto heads = static_cast<std::size_t>(header.kv_heads);
  std::memcpy(memory + sizeof header, store.data + sizeof header, sizeof(packed_head) * heads);
  std::memcpy(memory + header.fill_at, store.data + store.header().fill_at,
              heads * static_cast<std::size_t>(shape.fill_bytes()));
  packed_store<E, W> saved{memory, static_cast<index_t>(header.bytes)};
  auto* const offsets =
      reinterpret_cast<std::uint64_t*>(memory + sizeof header + sizeof(packed_head) * heads);
  std::uint64_t at = header.records_at;
  for (std::uint64_t i = 0; i < header.record_count; ++i) {
    offsets[i] = at;
    at += copy_record(shape, store.data + store.record_offsets()[i], memory + at);
  }
  copy_tail(store, saved);
}

/// Reads the header of a saved form that is all of `saved`. What is behind it is not looked at.
inline status read_saved_header(std::span<const std::byte> saved, saved_header& header) {
  if (saved.data() == nullptr) return {errc::null_view, "saved"};
  if (reinterpret_cast<std::uintptr_t>(saved.data()) % record_alignment != 0)
    return {errc::bad_alignment, "saved"};
  if (saved.size() < sizeof header + sizeof(packed_header)) return {errc::damaged, "saved"};
  std::memcpy(&header, saved.data(), sizeof header);
  if (std::memcmp(header.magic, saved_magic, sizeof header.magic) != 0)
    return {errc::bad_store, "saved"};
  if (header.byte_order != saved_byte_order || header.version != saved_version)
    return {errc::other_version, "saved"};
  if (header.bytes != saved.size()) return {errc::damaged, "saved"};
  return {};
}

/// The store inside a saved form, to be read only; its header holds, the rest is unchecked.
template <codec E, int W>
status open_saved_store(std::span<const std::byte> saved, packed_store<E, W>& store) {
  const std::span<const std::byte> image = saved.subspan(sizeof(saved_header));
  store.data = const_cast<std::byte*>(image.data());  // a store has no read-only form
  store.capacity_bytes = static_cast<index_t>(image.size());
  if (!store.check()) return {errc::bad_store, "saved"};
  if (!header_holds(store.header(), codec_traits<E>::sizes) ||
      store.header().bytes != static_cast<std::uint64_t>(image.size()))
    return {errc::damaged, "saved"};
  return {};
}

/// The layout of a saved store when it has room for `tail_capacity` tokens (-1: as when it was
/// saved).
template <codec E, int W>
status restored_header(const packed_store<E, W>& saved, const saved_header& header,
                       index_t tail_capacity, packed_header& out) {
  const packed_header& h = saved.header();
  const index_t capacity = tail_capacity == -1 ? header.tail_capacity : tail_capacity;
  if (capacity < h.tail_count || capacity > INT32_MAX) return {errc::bad_count, "tail_capacity"};
  if (h.next_position - h.tail_count > INT32_MAX - capacity)
    return {errc::bad_position, "tail_capacity"};
  const index_t row = tail_row_bytes(saved.shape());
  const index_t tail = add_product(add_product(row, capacity, 0), h.kv_heads, 4096);
  if (add_product(tail, 1, static_cast<index_t>(h.bytes)) < 0)
    return {errc::bad_count, "tail_capacity"};
  packed_shape shape = shape_of(h, codec_traits<E>::sizes);
  shape.tail_capacity = capacity;
  out = layout_packed(shape, static_cast<index_t>(h.record_count),
                      static_cast<index_t>(h.tail_keys_at - h.records_at));
  out.tail_count = h.tail_count;
  out.next_position = h.next_position;
  return {};
}

}  // namespace detail

/// Bytes of the saved form of a store: a multiple of record_alignment. 0 when there is no store.
template <codec E, int W>
index_t saved_bytes(const packed_store<E, W>& store) {
  if (!store.check()) return 0;
  return static_cast<index_t>(sizeof(saved_header) + detail::saved_store_header(store).bytes);
}

/// Saves a store, tail included, as the first saved_bytes() of `memory`, which is aligned to
/// record_alignment. Saved bytes depend on the store and the identity alone.
/// Errors, nothing written: those of store.check(); null_view, bad_alignment, store_too_small,
/// overlapping_memory ("memory").
template <codec E, int W>
status save(const packed_store<E, W>& store, const saved_identity& identity,
            std::span<std::byte> memory) {
  if (status s = store.check(); !s) return s;
  if (memory.data() == nullptr) return {errc::null_view, "memory"};
  if (reinterpret_cast<std::uintptr_t>(memory.data()) % record_alignment != 0)
    return {errc::bad_alignment, "memory"};
  const packed_header image = detail::saved_store_header(store);
  const std::size_t bytes = sizeof(saved_header) + image.bytes;
  if (memory.size() < bytes) return {errc::store_too_small, "memory"};
  if (overlaps(byte_range(memory.data(), memory.size()),
               byte_range(store.data, static_cast<std::size_t>(store.bytes()))))
    return {errc::overlapping_memory, "memory"};

  std::memset(memory.data(), 0, bytes);
  detail::write_saved_store(store, image, memory.data() + sizeof(saved_header));
  saved_header header{};
  std::memcpy(header.magic, saved_magic, sizeof header.magic);
  header.version = saved_version;
  header.byte_order = saved_byte_order;
  header.bytes = bytes;
  header.policies = identity.policies;
  header.model = identity.model;
  header.tail_capacity = static_cast<std::int32_t>(store.tail_capacity());
  std::memcpy(memory.data(), &header, sizeof header);
  header.checksum = detail::checksum_of(memory.first(bytes));
  std::memcpy(memory.data(), &header, sizeof header);
  return {};
}

/// The shape that a saved store says it has, whatever its type: for whoever knows what to expect,
/// before memory is taken for it. Errors as restore()'s on `saved`, without checksum and index.
inline status saved_shape(std::span<const std::byte> saved, packed_shape& shape) {
  saved_header header;
  if (status s = detail::read_saved_header(saved, header); !s) return s;
  packed_header h;
  std::memcpy(&h, saved.data() + sizeof header, sizeof h);
  if (std::memcmp(h.magic, packed_magic, sizeof h.magic) != 0 || h.version != packed_version)
    return {errc::bad_store, "saved"};
  codec_sizes sizes;
  if (!detail::with_codec_sizes(h.element_code, [&](const codec_sizes& s) { sizes = s; }))
    return {errc::bad_store, "saved"};
  if (!detail::header_holds(h, sizes)) return {errc::damaged, "saved"};
  shape = detail::shape_of(h, sizes);
  shape.tail_capacity = header.tail_capacity;
  return {};
}

/// Bytes of memory that restore() needs for the store in `saved`, which is a Store, of a type
/// packed_store<E, W>. Checks of the saved form only what the answer depends on.
template <class Store>
requires detail::is_packed<Store> status restored_bytes(std::span<const std::byte> saved,
                                                        index_t tail_capacity, index_t& bytes) {
  saved_header header;
  Store store;
  if (status s = detail::read_saved_header(saved, header); !s) return s;
  if (status s = detail::open_saved_store(saved, store); !s) return s;
  packed_header laid_out;
  if (status s = detail::restored_header(store, header, tail_capacity, laid_out); !s) return s;
  bytes = static_cast<index_t>(laid_out.bytes);
  return {};
}

/// Makes the store again in to.data, memory of restored_bytes() aligned to record_alignment, with
/// room for `tail_capacity` tokens in its tail (-1: as it had). `saved` is just the saved form,
/// aligned to record_alignment; it may hold anything, and everything is checked before `to` is
/// touched: sizes, checksum, who made it, and the whole index as verify() does.
/// Errors: null_view, bad_alignment, bad_store (not a saved store of this type), damaged,
/// other_version ("saved"); other_policies ("policies"); other_model ("model"); bad_count,
/// bad_position ("tail_capacity"); null_view, bad_alignment, store_too_small, overlapping_memory
/// ("to").
template <codec E, int W>
status restore(std::span<const std::byte> saved, const saved_identity& expected,
               index_t tail_capacity, packed_store<E, W>& to) {
  saved_header header;
  packed_store<E, W> store;
  packed_header laid_out;
  if (status s = detail::read_saved_header(saved, header); !s) return s;
  if (header.checksum != detail::checksum_of(saved)) return {errc::damaged, "saved"};
  if (status s = detail::open_saved_store(saved, store); !s) return s;
  if (header.policies != expected.policies) return {errc::other_policies, "policies"};
  if (header.model != expected.model) return {errc::other_model, "model"};
  if (!verify(store)) return {errc::damaged, "saved"};
  if (status s = detail::restored_header(store, header, tail_capacity, laid_out); !s) return s;
  if (to.data == nullptr) return {errc::null_view, "to"};
  if (reinterpret_cast<std::uintptr_t>(to.data) % record_alignment != 0)
    return {errc::bad_alignment, "to"};
  if (to.capacity_bytes < static_cast<index_t>(laid_out.bytes))
    return {errc::store_too_small, "to"};
  if (overlaps(byte_range(saved.data(), saved.size()),
               byte_range(to.data, static_cast<std::size_t>(to.capacity_bytes))))
    return {errc::overlapping_memory, "to"};

  const auto sealed = static_cast<std::size_t>(laid_out.tail_keys_at);
  std::memcpy(to.data + sizeof laid_out, store.data + sizeof laid_out, sealed - sizeof laid_out);
  std::memcpy(to.data, &laid_out, sizeof laid_out);
  detail::copy_tail(store, to);
  return {};
}

}  // namespace rota
