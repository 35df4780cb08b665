// A load of real gRPC clients: one connection and one stream each, in one process and one thread.
//
// Argument: a `Plan` as JSON (plan.proto); the answer, on standard output, is a `Report`. It says
// what bench/load.py says, and counts as it does; but what it says and hears goes through gRPC and
// protobuf, as it does in anybody's program. `process.py` starts it.
//
// gRPC's completion queue works like this: each operation (open, read, write) is begun with a tag,
// returns at once, and its tag comes out of the queue when it is finished. A stream has at most one
// read and one write under way.

#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <deque>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "chat.grpc.pb.h"
#include "plan.pb.h"

namespace {

using std::chrono::steady_clock;

// A text is a mark, its sender, when it was sent, dots, and the end: 64 bytes.
const std::string kMark = "~~", kRoll = "~r", kEnd = "~.";
constexpr std::size_t kTextBytes = 64, kSenderDigits = 6, kTimeDigits = 16;
constexpr double kJoinSeconds = 60, kRollSeconds = 1;
// Clients whose every message is timed; they are spread from the first that joined to the last.
constexpr std::size_t kTimedClients = 10;

double Since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

long long Now() {  // in nanoseconds, by the clock that Python calls time.monotonic_ns()
  return std::chrono::nanoseconds(steady_clock::now().time_since_epoch()).count();
}

double OwnCpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// The CPU time of a process and all its threads, user and system (proc(5)).
double CpuSeconds(unsigned pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string field;
  std::getline(file, field, ')');
  double user = 0, system = 0;
  for (int skipped = 0; skipped < 11; ++skipped) file >> field;
  file >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

unsigned RssKb(unsigned pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  long size = 0, resident = 0;
  file >> size >> resident;
  return static_cast<unsigned>(resident * sysconf(_SC_PAGE_SIZE) / 1024);
}

std::string Hex(unsigned long long value, std::size_t digits) {
  char text[17];
  std::snprintf(text, sizeof text, "%0*llx", static_cast<int>(digits), value);
  return text;
}

// The value at a share (0.5: the median) of those given; 0 if there are none.
double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

// What all clients together have done.
struct Totals {
  std::size_t open = 0;     // whose request is on its way
  std::size_t greeted = 0;  // who have heard something
  std::size_t ended = 0;
  unsigned long long sent = 0, heard = 0, rolls_heard = 0;
  std::string error;  // why a stream ended
};

// One chat client. As a sender it answers each echo of its own with another message.
class Client {
 public:
  // What a tag stands for: which operation of which client.
  enum Event { kOpened, kHeard, kWritten, kEnded };
  struct Tag {
    Client* client;
    Event event;
  };

  Client(unsigned number, const bench::Plan& plan, Totals& totals)
      : name_("c" + Hex(number, kSenderDigits)),
        own_(kMark + Hex(number, kSenderDigits)),
        is_full_(plan.is_batch()),
        random_(number),
        totals_(totals) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    stub_ = ChatService::NewStub(
        grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(plan.port()),
                                  grpc::InsecureChannelCredentials(), arguments));
    if (is_full_) {
      context_.AddMetadata("chat-user-bin", name_);
      context_.AddMetadata("chat-batch", "1");
      context_.AddMetadata("chat-history", std::to_string(plan.history()));
    }
  }

  void Open(grpc::CompletionQueue& queue) {
    opened_at_ = steady_clock::now();
    call_ = stub_->PrepareAsyncChat(&context_, &queue);
    call_->StartCall(&tags_[kOpened]);
  }

  // Keep so many messages unanswered from now on.
  void SetWindow(unsigned window) {
    window_ = window;
    FillWindow();
  }

  // Say something that is not counted.
  void CallRoll() { Send(kRoll); }

  void BeginTiming() { is_timed_ = true; }
  void EndTiming() { is_timed_ = false; }

  bool IsBegun() const { return call_ != nullptr; }
  void Leave() { context_.TryCancel(); }

  double join_ms() const { return join_ms_; }
  const std::vector<double>& latencies_ms() const { return latencies_ms_; }

  // Take note of a finished operation, and begin the next one of its sort.
  void Handle(Event event, bool is_ok) {
    if (event == kEnded) {
      ++totals_.ended;
      totals_.error = name_ + ": its stream ended: " + status_.error_message();
    } else if (event == kWritten) {
      unsent_.pop_front();
      is_writing_ = false;
      if (is_ok) WriteNext();
    } else if (!is_ok) {  // it could not be opened, or there is nothing more to read
      call_->Finish(&status_, &tags_[kEnded]);
    } else if (event == kOpened) {
      ++totals_.open;
      is_open_ = true;
      call_->Read(&incoming_, &tags_[kHeard]);
      WriteNext();
    } else {
      HearAll();
      call_->Read(&incoming_, &tags_[kHeard]);
    }
  }

 private:
  void HearAll() {
    if (incoming_.batch().empty()) Hear(incoming_);
    for (const Message& message : incoming_.batch()) Hear(message);
    FillWindow();
  }

  void Hear(const Message& message) {
    const std::string& text = message.message();
    if (text.size() != kTextBytes) return;  // nobody's words: that somebody came, or left
    if (!has_heard_) {
      has_heard_ = true;
      ++totals_.greeted;
      join_ms_ = Since(opened_at_) * 1e3;
    }
    if (text.compare(0, kMark.size(), kMark) != 0) {
      ++totals_.rolls_heard;
      return;
    }
    ++totals_.heard;
    if (is_timed_) {
      const std::string sent_at = text.substr(kMark.size() + kSenderDigits, kTimeDigits);
      latencies_ms_.push_back(static_cast<double>(Now() - std::stoll(sent_at, nullptr, 16)) / 1e6);
    }
    if (unanswered_ > 0 && text.compare(0, own_.size(), own_) == 0) --unanswered_;
  }

  void FillWindow() {
    for (; unanswered_ < window_; ++unanswered_) {
      ++totals_.sent;
      Send(kMark);
    }
  }

  void Send(const std::string& mark) {
    std::string text = mark + name_.substr(1) + Hex(Now(), kTimeDigits);
    text.resize(kTextBytes - kEnd.size(), '.');
    Message message;
    message.set_user(name_);
    message.set_message(text + kEnd);
    if (is_full_) message.set_key(Hex(random_(), 16) + Hex(random_() >> 32, 8));
    unsent_.push_back(std::move(message));
    WriteNext();
  }

  void WriteNext() {
    if (!is_open_ || is_writing_ || unsent_.empty()) return;
    is_writing_ = true;
    call_->Write(unsent_.front(), &tags_[kWritten]);
  }

  const std::string name_, own_;
  const bool is_full_;
  std::mt19937_64 random_;
  Totals& totals_;
  Tag tags_[4] = {{this, kOpened}, {this, kHeard}, {this, kWritten}, {this, kEnded}};
  grpc::ClientContext context_;
  grpc::Status status_;
  std::unique_ptr<ChatService::Stub> stub_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<Message, Message>> call_;
  Message incoming_;
  std::deque<Message> unsent_;  // the first of them is being written, if `is_writing_`
  bool is_open_ = false, is_writing_ = false, has_heard_ = false, is_timed_ = false;
  unsigned window_ = 0, unanswered_ = 0;
  steady_clock::time_point opened_at_;
  double join_ms_ = 0;
  std::vector<double> latencies_ms_;
};

// All clients of one plan, and the loop that serves them.
class Crowd {
 public:
  explicit Crowd(const bench::Plan& plan) : plan_(plan) {
    for (unsigned number = 0; number < plan.clients(); ++number) {
      clients_.push_back(std::make_unique<Client>(number, plan, totals_));
    }
  }

  // Bring in everybody, so many at a time; report what that took.
  void Join(bench::Report& report) {
    MakeHistory();
    const auto started = steady_clock::now();
    const double server = CpuSeconds(plan_.pid());
    // Whoever asked for history is in when it comes; of others it shows when they hear the roll.
    const std::size_t& in = plan_.history() > 0 ? totals_.greeted : totals_.open;
    for (std::size_t next = in; next < clients_.size(); ++next) {
      Await([&] { return next - in < plan_.joining(); }, kJoinSeconds, "let clients in");
      clients_[next]->Open(queue_);
    }
    Await([&] { return in == clients_.size(); }, kJoinSeconds, "let the last clients in");
    CallRoll();
    report.set_join_seconds(Since(started));
    report.set_join_cpu_seconds(CpuSeconds(plan_.pid()) - server);
    report.set_clients(static_cast<unsigned>(clients_.size()));
    if (plan_.history() == 0) return;
    std::vector<double> join_ms;
    for (const auto& client : clients_) join_ms.push_back(client->join_ms());
    report.set_join_p50_ms(Percentile(join_ms, 0.5));
    report.set_join_p99_ms(Percentile(join_ms, 0.99));
  }

  // Keep the plan's messages in flight, and report the seconds after the warming up.
  void Measure(bench::Report& report) {
    BeginSending();
    ServeFor(plan_.warm_seconds());
    // What was in flight at first has been answered: only now are all latencies seen.
    report.set_is_steady(ServeUntil(
        [&] { return totals_.sent >= 2ull * plan_.in_flight(); }, plan_.patience_seconds()));
    const auto timed = Spread(kTimedClients);
    for (Client* client : timed) client->BeginTiming();
    const Totals before = totals_;
    const auto started = steady_clock::now();
    const double server = CpuSeconds(plan_.pid()), own = OwnCpuSeconds();
    ServeFor(plan_.seconds());
    report.set_seconds(Since(started));
    report.set_server_cpu_seconds(CpuSeconds(plan_.pid()) - server);
    report.set_generator_cpu_seconds(OwnCpuSeconds() - own);
    report.set_deliveries(static_cast<unsigned>(totals_.heard - before.heard));
    report.set_sent(static_cast<unsigned>(totals_.sent - before.sent));
    report.set_rss_kb(RssKb(plan_.pid()));
    std::vector<double> latencies_ms;
    for (Client* client : timed) {
      client->EndTiming();
      const auto& some = client->latencies_ms();
      latencies_ms.insert(latencies_ms.end(), some.begin(), some.end());
    }
    report.set_p50_ms(Percentile(latencies_ms, 0.5));
    report.set_p99_ms(Percentile(latencies_ms, 0.99));
    report.set_missing(Drain());
  }

  // End every stream. gRPC still owns the tags until each operation has come out of the queue.
  void Leave() {
    std::size_t begun = 0;
    for (auto& client : clients_) {
      if (client->IsBegun()) ++begun, client->Leave();
    }
    void* tag = nullptr;
    for (bool is_ok = false; totals_.ended < begun && queue_.Next(&tag, &is_ok);) {
      Handle(tag, is_ok);
    }
    queue_.Shutdown();
    for (bool is_ok = false; queue_.Next(&tag, &is_ok);) Handle(tag, is_ok);
  }

 private:
  // Let the first client say what the others will ask for.
  void MakeHistory() {
    if (plan_.history() == 0) return;
    clients_.front()->Open(queue_);
    for (unsigned said = 0; said < plan_.history(); ++said) clients_.front()->CallRoll();
    Await([&] { return totals_.rolls_heard == plan_.history(); }, kJoinSeconds, "say the history");
  }

  // Return when everybody hears everybody: a plain server does not say when one is in.
  void CallRoll() {
    const auto started = steady_clock::now();
    const auto all_hear = [&] { return totals_.greeted == clients_.size(); };
    while (!all_hear()) {
      if (Since(started) > kJoinSeconds) throw std::runtime_error("some clients hear nothing");
      clients_.front()->CallRoll();
      ServeUntil(all_hear, kRollSeconds);
    }
  }

  void BeginSending() {
    const unsigned in_flight = plan_.in_flight();
    const auto senders = Spread(plan_.senders() > 0 ? plan_.senders() : in_flight);
    for (std::size_t index = 0; index < senders.size(); ++index) {
      const bool has_more = index < in_flight % senders.size();
      senders[index]->SetWindow(static_cast<unsigned>(in_flight / senders.size()) + has_more);
    }
  }

  // Let everything that was sent arrive; return how many messages some client lacks.
  unsigned Drain() {
    for (auto& client : clients_) client->SetWindow(0);
    const unsigned long long due = totals_.sent * clients_.size();
    ServeUntil([&] { return totals_.heard >= due; }, plan_.patience_seconds());
    return static_cast<unsigned>(due > totals_.heard ? due - totals_.heard : totals_.heard - due);
  }

  // So many of the clients, evenly from the first to the last.
  std::vector<Client*> Spread(std::size_t count) {
    count = std::min(count, clients_.size());
    std::vector<Client*> some;
    for (std::size_t index = 0; index < count; ++index) {
      const std::size_t step = std::max<std::size_t>(1, count - 1);
      some.push_back(clients_[index * (clients_.size() - 1) / step].get());
    }
    return some;
  }

  void ServeFor(double seconds) {
    ServeUntil([] { return false; }, seconds);
  }

  void Await(const std::function<bool()>& is_done, double seconds, const std::string& what) {
    if (!ServeUntil(is_done, seconds)) throw std::runtime_error("the server did not " + what);
  }

  // Handle what is finished until `is_done`, for at most so long; say whether it is.
  // Throws what a stream ended with.
  bool ServeUntil(const std::function<bool()>& is_done, double seconds) {
    using std::chrono::system_clock;
    const auto deadline = system_clock::now() + std::chrono::microseconds(
        static_cast<long long>(seconds * 1e6));
    while (!is_done() && system_clock::now() < deadline) {
      void* tag = nullptr;
      bool is_ok = false;
      if (queue_.AsyncNext(&tag, &is_ok, deadline) != grpc::CompletionQueue::GOT_EVENT) break;
      Handle(tag, is_ok);
      if (!totals_.error.empty()) throw std::runtime_error(totals_.error);
    }
    return is_done();
  }

  static void Handle(void* tag, bool is_ok) {
    const auto* one = static_cast<Client::Tag*>(tag);
    one->client->Handle(one->event, is_ok);
  }

  const bench::Plan plan_;
  Totals totals_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Client>> clients_;
};

// Do what the plan says; a server that does not stand it is reported.
bench::Report CarryOut(const bench::Plan& plan) {
  bench::Report report;
  report.set_rss_before_kb(RssKb(plan.pid()));
  Crowd crowd(plan);
  try {
    crowd.Join(report);
    crowd.Measure(report);
  } catch (const std::runtime_error& error) {
    report.set_error(error.what());
  }
  crowd.Leave();
  return report;
}

}  // namespace

int main(int count, char** arguments) {
  using namespace google::protobuf::util;
  bench::Plan plan;
  const auto status = JsonStringToMessage(count > 1 ? arguments[1] : "", &plan);
  if (!status.ok()) {
    std::cerr << "not a plan: " << status.ToString() << "\n";
    return 1;
  }
  JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!MessageToJsonString(CarryOut(plan), &text, options).ok()) return 1;
  std::cout << text << "\n";
}
