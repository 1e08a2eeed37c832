// Where processes find each other: a small store of names and values over TCP, on one address only.
//
// libtorch's own TCPStore listens on every address of the machine (in 1.13 nothing can change that), and its FileStore needs a shared
// folder. This one has what a process group asks for when it connects, and is closed as soon as all are connected.
#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ista {

/** An open socket. */
class Socket {
 public:
  explicit Socket(int descriptor = -1) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { close(); }
  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  void close();
  /** Wakes whoever waits on it. */
  void shut_down() const;

 private:
  int descriptor_;
};

/** The side that holds the values: of the process with rank 0. */
class RendezvousServer {
 public:
  /** Listens on the address alone. @throws std::runtime_error where that cannot be */
  RendezvousServer(const std::string& address, int port);
  ~RendezvousServer();

 private:
  void accept_clients();
  void serve(int descriptor);

  Socket listener_;
  std::thread accepting_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<uint8_t>> values_;
  std::vector<std::unique_ptr<Socket>> clients_;
  std::vector<std::thread> serving_;
  bool closed_ = false;
};

/** The side of every process. */
class RendezvousStore : public c10d::Store {
 public:
  /** Tries until `timeout`: the process with rank 0 may begin later. @throws std::runtime_error */
  RendezvousStore(const std::string& address, int port, std::chrono::milliseconds timeout);

  /** The address of this machine by which it reaches the server. */
  std::string own_address() const;
  void close();

  void set(const std::string& key, const std::vector<uint8_t>& value) override;
  std::vector<uint8_t> get(const std::string& key) override;
  int64_t add(const std::string& key, int64_t value) override;
  bool deleteKey(const std::string& key) override;
  bool check(const std::vector<std::string>& keys) override;
  int64_t getNumKeys() override;
  void wait(const std::vector<std::string>& keys) override;
  void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout) override;

 private:
  std::vector<uint8_t> ask(char what, const std::string& key, const std::vector<uint8_t>& value,
                           std::chrono::milliseconds timeout);

  std::mutex mutex_;
  Socket socket_;
};

}  // namespace ista
