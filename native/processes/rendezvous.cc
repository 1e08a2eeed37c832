// Where processes find each other. Compiled where libtorch has c10d with gloo, see scripts/build.mjs.
#ifdef USE_C10D_GLOO
#include "rendezvous.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace ista {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Bytes = std::vector<uint8_t>;

// Larger than anything that is exchanged; a stranger that connects cannot have memory allocated.
constexpr uint64_t kLargest = 1 << 20;

std::string place(const std::string& address, int port) { return address + ", port " + std::to_string(port); }

struct Addresses {
  Addresses(const std::string& address, int port) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    const int status = getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &first);
    if (status != 0) throw std::runtime_error(address + ": no such address: " + gai_strerror(status));
  }
  ~Addresses() { freeaddrinfo(first); }
  Addresses(const Addresses&) = delete;
  addrinfo* first = nullptr;
};

void write_all(int descriptor, const void* data, size_t count) {
  const char* from = static_cast<const char*>(data);
  while (count > 0) {
    const ssize_t written = send(descriptor, from, count, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw std::runtime_error("the connection was closed");
    from += written;
    count -= static_cast<size_t>(written);
  }
}

void read_all(int descriptor, void* data, size_t count) {
  char* to = static_cast<char*>(data);
  while (count > 0) {
    const ssize_t got = recv(descriptor, to, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw std::runtime_error("the connection was closed");
    to += got;
    count -= static_cast<size_t>(got);
  }
}

void write_block(int descriptor, const void* data, uint64_t count) {
  write_all(descriptor, &count, sizeof count);
  write_all(descriptor, data, count);
}

Bytes read_block(int descriptor) {
  uint64_t count = 0;
  read_all(descriptor, &count, sizeof count);
  if (count > kLargest) throw std::runtime_error("a message is too long");
  Bytes block(count);
  read_all(descriptor, block.data(), count);
  return block;
}

Bytes bytes_of(int64_t number) {
  Bytes bytes(sizeof number);
  std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}

int64_t number_of(const Bytes& bytes) {
  int64_t number = 0;
  if (bytes.size() == sizeof number) std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void Socket::close() {
  if (is_open()) ::close(descriptor_);
  descriptor_ = -1;
}

void Socket::shut_down() const {
  if (is_open()) shutdown(descriptor_, SHUT_RDWR);
}

RendezvousServer::RendezvousServer(const std::string& address, int port) {
  const Addresses addresses(address, port);
  std::string problem;
  for (const addrinfo* one = addresses.first; one != nullptr && !listener_.is_open(); one = one->ai_next) {
    Socket socket(::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol));
    const int yes = 1;
    setsockopt(socket.descriptor(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(socket.descriptor(), one->ai_addr, one->ai_addrlen) == 0 && listen(socket.descriptor(), SOMAXCONN) == 0)
      listener_ = std::move(socket);
    else
      problem = std::strerror(errno);
  }
  if (!listener_.is_open()) throw std::runtime_error("cannot listen on " + place(address, port) + ": " + problem);
  accepting_ = std::thread([this] { accept_clients(); });
}

RendezvousServer::~RendezvousServer() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    listener_.shut_down();
    for (const auto& client : clients_) client->shut_down();
  }
  changed_.notify_all();
  accepting_.join();
  for (std::thread& thread : serving_) thread.join();
}

void RendezvousServer::accept_clients() {
  while (true) {
    Socket client(accept4(listener_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    if (!client.is_open()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;
    }
    clients_.push_back(std::make_unique<Socket>(std::move(client)));
    serving_.emplace_back([this, descriptor = clients_.back()->descriptor()] { serve(descriptor); });
  }
}

// Every request is a letter, a key, a value and a time; every answer a flag and a value.
void RendezvousServer::serve(int descriptor) {
  try {
    while (true) {
      char what = 0;
      int64_t patience = 0;
      read_all(descriptor, &what, 1);
      const Bytes key_bytes = read_block(descriptor);
      const Bytes value = read_block(descriptor);
      read_all(descriptor, &patience, sizeof patience);
      const std::string key(key_bytes.begin(), key_bytes.end());
      Bytes answer;
      char found = 1;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        const auto is_there = [&] { return closed_ || values_.count(key) > 0; };
        if (what == 's') values_[key] = value;
        if (what == 'a') answer = values_[key] = bytes_of(number_of(values_[key]) + number_of(value));
        if (what == 'd') found = static_cast<char>(values_.erase(key));
        if (what == 'n') answer = bytes_of(static_cast<int64_t>(values_.size()));
        if (what == 'g') {
          found = changed_.wait_for(lock, milliseconds(patience), is_there) && !closed_;
          if (found) answer = values_[key];
        }
      }
      changed_.notify_all();
      write_all(descriptor, &found, 1);
      write_block(descriptor, answer.data(), answer.size());
    }
  } catch (const std::exception&) {
    // The client is gone.
  }
}

RendezvousStore::RendezvousStore(const std::string& address, int port, milliseconds timeout) : Store(timeout) {
  const auto end = Clock::now() + timeout;
  std::string problem = "nobody answers";
  while (!socket_.is_open()) {
    const Addresses addresses(address, port);
    for (const addrinfo* one = addresses.first; one != nullptr && !socket_.is_open(); one = one->ai_next) {
      Socket socket(::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol));
      if (connect(socket.descriptor(), one->ai_addr, one->ai_addrlen) == 0)
        socket_ = std::move(socket);
      else
        problem = std::strerror(errno);
    }
    if (socket_.is_open()) break;
    if (Clock::now() > end) throw std::runtime_error("the process with rank 0 does not answer on " + place(address, port) + ": " + problem);
    std::this_thread::sleep_for(milliseconds(50));
  }
  const int yes = 1;
  setsockopt(socket_.descriptor(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

std::string RendezvousStore::own_address() const {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  char text[NI_MAXHOST];
  if (getsockname(socket_.descriptor(), reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&address), length, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0)
    throw std::runtime_error(std::string("the own address is not known: ") + std::strerror(errno));
  return text;
}

void RendezvousStore::close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  socket_.close();
}

Bytes RendezvousStore::ask(char what, const std::string& key, const Bytes& value, milliseconds timeout) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!socket_.is_open()) throw std::runtime_error("all processes have found each other: the store is closed");
  const int64_t patience = timeout.count();
  write_all(socket_.descriptor(), &what, 1);
  write_block(socket_.descriptor(), key.data(), key.size());
  write_block(socket_.descriptor(), value.data(), value.size());
  write_all(socket_.descriptor(), &patience, sizeof patience);
  char found = 0;
  read_all(socket_.descriptor(), &found, 1);
  Bytes answer = read_block(socket_.descriptor());
  if (!found && what == 'g') throw std::runtime_error("nobody has said " + key);
  return answer;
}

void RendezvousStore::set(const std::string& key, const Bytes& value) { ask('s', key, value, timeout_); }
Bytes RendezvousStore::get(const std::string& key) { return ask('g', key, {}, timeout_); }
int64_t RendezvousStore::add(const std::string& key, int64_t value) { return number_of(ask('a', key, bytes_of(value), timeout_)); }
bool RendezvousStore::deleteKey(const std::string& key) {
  ask('d', key, {}, timeout_);
  return true;
}
int64_t RendezvousStore::getNumKeys() { return number_of(ask('n', "", {}, timeout_)); }
bool RendezvousStore::check(const std::vector<std::string>& keys) {
  try {
    for (const std::string& key : keys) ask('g', key, {}, milliseconds(0));
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}
void RendezvousStore::wait(const std::vector<std::string>& keys) { wait(keys, timeout_); }
void RendezvousStore::wait(const std::vector<std::string>& keys, const milliseconds& timeout) {
  for (const std::string& key : keys) ask('g', key, {}, timeout);
}

}  // namespace ista
#endif
