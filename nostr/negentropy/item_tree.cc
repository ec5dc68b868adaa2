#include "nostr/negentropy/item_tree.h"

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>

namespace graspd::negentropy {
namespace {

// A node is split above its maximum and merged with a neighbour below its minimum. The two are far
// apart, so that a set which changes back and forth does not keep doing both.
constexpr size_t kMaxItems = 64, kMinItems = 16, kFilledItems = 48;
constexpr size_t kMaxChildren = 32, kMinChildren = 8, kFilledChildren = 24;

constexpr size_t kControlBlock = 16;  // of a shared_ptr

}  // namespace

/// A subtree as its parent knows it.
struct ItemTree::Child {
  std::shared_ptr<const Node> node;
  Item first;  // meaningless if count is 0
  size_t count = 0;
  IdSum sum;
};

/// Holds either items or children.
struct ItemTree::Node {
  Node(std::vector<Item> i, Children c, ByteCount b)
      : items(std::move(i)),
        children(std::move(c)),
        ends(EndsOf(children)),
        counted_in(std::move(b)) {
    counted_in->fetch_add(bytes());
  }
  ~Node() { counted_in->fetch_sub(bytes()); }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  [[nodiscard]] size_t bytes() const {
    return sizeof *this + kControlBlock + items.capacity() * sizeof(Item) +
           children.capacity() * sizeof(Child) + ends.capacity() * sizeof(size_t);
  }
  static std::vector<size_t> EndsOf(const Children& children) {
    std::vector<size_t> ends;
    ends.reserve(children.size());
    for (const Child& child : children) {
      ends.push_back((ends.empty() ? 0 : ends.back()) + child.count);
    }
    return ends;
  }
  [[nodiscard]] bool is_leaf() const { return children.empty(); }
  [[nodiscard]] bool is_poor() const {
    return is_leaf() ? items.size() < kMinItems : children.size() < kMinChildren;
  }
  /// The child that holds `item`, or would: the last that begins at or below it.
  [[nodiscard]] size_t IndexFor(const Item& item) const {
    const auto above = std::upper_bound(
        children.begin(), children.end(), item,
        [](const Item& wanted, const Child& child) { return wanted < child.first; });
    return static_cast<size_t>(std::max<ptrdiff_t>(above - children.begin(), 1) - 1);
  }
  /// The child that holds that position.
  [[nodiscard]] size_t IndexAt(size_t position) const {
    return static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), position) - ends.begin());
  }
  /// Where that child begins.
  [[nodiscard]] size_t BeginOf(size_t index) const { return index == 0 ? 0 : ends[index - 1]; }

  const std::vector<Item> items;
  const Children children;
  const std::vector<size_t> ends;  // of the children, counted from the first one's beginning
  const ByteCount counted_in;
};

/// One state of the tree.
class ItemTree::View final : public ItemView {
 public:
  explicit View(Child root) : root_(std::move(root)) {}

  [[nodiscard]] const Child& root() const { return root_; }
  [[nodiscard]] bool Contains(const Item& item) const {
    const size_t position = LowerBound(0, item);
    return position < size() && At(position) == item;
  }

  [[nodiscard]] size_t size() const override { return root_.count; }
  [[nodiscard]] Item At(size_t position) const override {
    const Node* node = root_.node.get();
    while (!node->is_leaf()) node = Descend(*node, position);
    return node->items[position];
  }
  [[nodiscard]] size_t LowerBound(size_t from, const Item& bound) const override;
  [[nodiscard]] Fingerprint FingerprintOf(size_t from, size_t to) const override {
    IdSum sum;
    if (from < to) AddRange(*root_.node, from, to, sum);
    return sum.ToFingerprint(to - from);
  }
  void AppendIds(size_t from, size_t to, std::string& out) const override {
    if (from < to) AppendIds(*root_.node, from, to, out);
  }

 private:
  // To the child that holds `position`, which then counts from that child's beginning.
  static const Node* Descend(const Node& node, size_t& position) {
    const size_t index = node.IndexAt(position);
    position -= node.BeginOf(index);
    return node.children[index].node.get();
  }
  static void AddRange(const Node& node, size_t from, size_t to, IdSum& sum);
  static void AppendIds(const Node& node, size_t from, size_t to, std::string& out);

  const Child root_;
};

size_t ItemTree::View::LowerBound(size_t from, const Item& bound) const {
  size_t position = 0;
  const Node* node = root_.node.get();
  while (!node->is_leaf()) {
    const size_t index = node->IndexFor(bound);
    position += node->BeginOf(index);
    node = node->children[index].node.get();
  }
  const auto found = std::lower_bound(node->items.begin(), node->items.end(), bound);
  return std::max(from, position + static_cast<size_t>(found - node->items.begin()));
}

// Looks into at most two children of a node, those at the ends of the range; from < to.
void ItemTree::View::AddRange(const Node& node, size_t from, size_t to, IdSum& sum) {
  if (node.is_leaf()) {
    for (size_t i = from; i < to; ++i) sum += IdSum(node.items[i].id);
    return;
  }
  for (size_t index = node.IndexAt(from); from < to; ++index) {
    const size_t begin = node.BeginOf(index), end = node.ends[index];
    const size_t stop = std::min(to, end);
    if (from == begin && stop == end) {
      sum += node.children[index].sum;
    } else {
      AddRange(*node.children[index].node, from - begin, stop - begin, sum);
    }
    from = stop;
  }
}

// from < to.
void ItemTree::View::AppendIds(const Node& node, size_t from, size_t to, std::string& out) {
  if (node.is_leaf()) {
    for (size_t i = from; i < to; ++i) out += node.items[i].id.view();
    return;
  }
  for (size_t index = node.IndexAt(from); from < to; ++index) {
    const size_t begin = node.BeginOf(index), stop = std::min(to, node.ends[index]);
    AppendIds(*node.children[index].node, from - begin, stop - begin, out);
    from = stop;
  }
}

// ---- making nodes ----------------------------------------------------------------------------

ItemTree::Child ItemTree::MakeNode(std::vector<Item> items) const {
  Child child;
  child.count = items.size();
  if (!items.empty()) child.first = items.front();
  for (const Item& item : items) child.sum += IdSum(item.id);
  child.node = std::make_shared<const Node>(std::move(items), Children(), bytes_);
  return child;
}

ItemTree::Child ItemTree::MakeNode(Children children) const {
  Child parent;
  parent.first = children.front().first;
  for (const Child& child : children) {
    parent.count += child.count;
    parent.sum += child.sum;
  }
  parent.node = std::make_shared<const Node>(std::vector<Item>(), std::move(children), bytes_);
  return parent;
}

// Into nodes of the same size, give or take one.
template <typename Part>
ItemTree::Children ItemTree::Divide(const std::vector<Part>& parts, size_t nodes) const {
  Children out;
  out.reserve(nodes);
  const auto at = [&](size_t node) {
    return parts.begin() + static_cast<ptrdiff_t>(parts.size() * node / nodes);
  };
  for (size_t node = 0; node < nodes; ++node) {
    out.push_back(MakeNode(std::vector<Part>(at(node), at(node + 1))));
  }
  return out;
}

template <typename Part>
ItemTree::Children ItemTree::SplitIfFull(std::vector<Part> parts) const {
  constexpr size_t kMax = std::is_same_v<Part, Item> ? kMaxItems : kMaxChildren;
  if (parts.size() > kMax) return Divide(parts, 2);
  return {MakeNode(std::move(parts))};
}

ItemTree::Child ItemTree::UnderOneRoot(Children children) const {
  while (children.size() > kMaxChildren) {
    children = Divide(children, (children.size() + kFilledChildren - 1) / kFilledChildren);
  }
  return children.size() == 1 ? children.front() : MakeNode(std::move(children));
}

// ---- changes ---------------------------------------------------------------------------------

ItemTree::ItemTree(const std::vector<Item>& items, ByteCount bytes) : bytes_(std::move(bytes)) {
  const size_t leaves = std::max<size_t>((items.size() + kFilledItems - 1) / kFilledItems, 1);
  root_ = std::make_shared<const View>(UnderOneRoot(Divide(items, leaves)));
}
ItemTree::ItemTree(ItemTree&&) noexcept = default;
ItemTree& ItemTree::operator=(ItemTree&&) noexcept = default;
ItemTree::~ItemTree() = default;

size_t ItemTree::size() const { return root_->size(); }

std::shared_ptr<const ItemView> ItemTree::Snapshot() const { return root_; }

bool ItemTree::Insert(const Item& item) {
  if (root_->Contains(item)) return false;
  root_ = std::make_shared<const View>(UnderOneRoot(Inserted(root_->root(), item)));
  return true;
}

bool ItemTree::Erase(const Item& item) {
  if (!root_->Contains(item)) return false;
  Child root = Erased(root_->root(), item);
  while (root.node->children.size() == 1) root = Child(root.node->children.front());
  root_ = std::make_shared<const View>(std::move(root));
  return true;
}

ItemTree::Children ItemTree::Inserted(const Child& into, const Item& item) const {
  const Node& node = *into.node;
  if (node.is_leaf()) {
    const auto place = std::lower_bound(node.items.begin(), node.items.end(), item);
    std::vector<Item> items;
    items.reserve(node.items.size() + 1);
    items.assign(node.items.begin(), place);
    items.push_back(item);
    items.insert(items.end(), place, node.items.end());
    return SplitIfFull(std::move(items));
  }
  const auto place = node.children.begin() + static_cast<ptrdiff_t>(node.IndexFor(item));
  Children instead = Inserted(*place, item);
  Children children;
  children.reserve(node.children.size() + instead.size() - 1);
  children.assign(node.children.begin(), place);
  children.insert(children.end(), instead.begin(), instead.end());
  children.insert(children.end(), place + 1, node.children.end());
  return SplitIfFull(std::move(children));
}

ItemTree::Child ItemTree::Erased(const Child& from, const Item& item) const {
  const Node& node = *from.node;
  if (node.is_leaf()) {
    const auto place = std::lower_bound(node.items.begin(), node.items.end(), item);
    std::vector<Item> items;
    items.reserve(node.items.size() - 1);
    items.assign(node.items.begin(), place);
    items.insert(items.end(), place + 1, node.items.end());
    return MakeNode(std::move(items));
  }
  const size_t index = node.IndexFor(item);
  Children children = node.children;
  children[index] = Erased(children[index], item);
  if (children[index].node->is_poor() && children.size() > 1) {
    const auto left = children.begin() + static_cast<ptrdiff_t>(index == 0 ? 0 : index - 1);
    const Children instead = Merged(left[0], left[1]);
    if (instead.size() == 1) children.erase(left + 1);
    std::copy(instead.begin(), instead.end(), left);
    children.shrink_to_fit();
  }
  return MakeNode(std::move(children));
}

ItemTree::Children ItemTree::Merged(const Child& left, const Child& right) const {
  const auto join = [this](auto parts, const auto& more) {
    parts.insert(parts.end(), more.begin(), more.end());
    parts.shrink_to_fit();
    return SplitIfFull(std::move(parts));
  };
  if (left.node->is_leaf()) return join(left.node->items, right.node->items);
  return join(left.node->children, right.node->children);
}

}  // namespace graspd::negentropy
