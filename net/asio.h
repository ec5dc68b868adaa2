// What net's own files share of Asio. Never included by a public header.
#pragma once

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "net/io_pool.h"
#include "net/output_buffer.h"

namespace graspd::net {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

// The concrete executor, not any_io_executor: smaller objects and no virtual calls.
using IoExecutor = asio::io_context::executor_type;
/// TCP and unix sockets alike, so that what is built on it is instantiated once.
using StreamSocket = asio::basic_stream_socket<asio::generic::stream_protocol, IoExecutor>;
using SteadyTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock,
                               asio::wait_traits<std::chrono::steady_clock>, IoExecutor>;
template <typename T>
using Awaitable = asio::awaitable<T, IoExecutor>;

/// Errors as values: `auto [error, ...] = co_await Something(..., kNoThrow);`
inline constexpr auto kNoThrow = asio::as_tuple(asio::deferred);

/// The event loop of an IoThread and what its connections share.
struct IoThread::Impl {
  ChunkPool chunks;
  FlushQueue flush_queue;
  asio::io_context io{1};  // hint: one thread runs it; destroyed before what its handlers refer to
  asio::executor_work_guard<IoExecutor> work{io.get_executor()};
  std::atomic<bool> stopped{false};  // its thread has been joined
};

/// Runs `task` on `thread` and waits for it; at once if that is the calling thread or has ended.
/// Must not race with IoPool::Stop().
void RunOn(IoThread& thread, std::function<void()> task);

/// A shared object whose members belong to `thread`: it is destroyed there, whoever lets go last.
template <typename T, typename... Args>
std::shared_ptr<T> MakeSharedOn(IoThread& thread, Args&&... args) {
  return std::shared_ptr<T>(new T(std::forward<Args>(args)...), [&thread](T* object) {
    std::unique_ptr<T> owned(object);
    if (thread.IsCurrent() || thread.impl().stopped) return;
    asio::post(thread.impl().io, [owned = std::move(owned)] {});
  });
}

}  // namespace graspd::net
